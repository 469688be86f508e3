"""Referrals of Microsoft Partner Center, brought into the partner's own PostgreSQL.

steps.py is the way of the data, one function a task. It calls auth, login, token_cache (sign-in), client, answers,
pages, transport (HTTP), referral, domains (one row), staging, runs, warehouse (PostgreSQL) and report (the accounts).
hook, provider, operators, sign_in*, airflow_store and retry_policy are the side that Airflow sees; settings, retrying,
redaction and errors serve all.
"""
