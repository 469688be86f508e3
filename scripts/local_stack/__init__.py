"""All of Airflow and what it talks to, on this machine alone: the commands behind `make demo` and `make up`.

plan.py       which parts run and the environment they get: what is set already wins
processes.py  children, each ended by the process that started it
postgres.py   the embedded warehouse            simulator.py  the bundled Partner Center
airflow_home.py, metadata.py  keys, password, metadata database, the feature flag
sign_in.py    the device code flow              funnel.py     the counts and rows of a run, for people
demo.py, up.py, doctor.py  the commands         steps.py      lines for a person, errors that tell what to do
"""
