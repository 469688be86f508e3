"""Referrals of Microsoft Partner Center, brought into the partner's own PostgreSQL.

steps.py is the way of the data, one function a task. It calls auth, login, token_cache (sign-in), read_plan (how much
to read), listing (how to ask for it), client, answers, pages, transport (HTTP), referral, contract, domains (one row),
staging, runs, warehouse (PostgreSQL) and report (the accounts of every row). erasing takes a person (erasure_request)
out of the tables, by the rules of personal (mail_addresses, exact_json); erased_people keeps them out of what staging
takes in. hook, provider, operators, sign_in*, airflow_store and retry_policy are the side that Airflow sees, ui its
pages. judgement says how the sync is; watching tells people of it, by the policy in alerts, the words in alert_texts
and the ways in notifying; log_fields, measures and lineage tell programs. doctor asks account_checks and site_checks,
which ask airflow_setup and the others, for findings; deployment is for the scripts that deploy; accounts (of partners),
rules, settings, retrying, redaction, reasons and errors serve all.
"""
