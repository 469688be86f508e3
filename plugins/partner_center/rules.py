"""Versions of the rules that turn the API's JSON into rows; whoever changes a rule raises its version."""

MAPPING_VERSION = 2
"""Of the mapping in load_40_write_referrals.sql: the next run reads everything and writes every row anew."""

FILTER_VERSION = 1
"""Of the rules in filter_referrals.sql: the next run reads everything."""

RULES = f"mapping {MAPPING_VERSION}, filter {FILTER_VERSION}"
