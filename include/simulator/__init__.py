"""Partner Center and its login, in one process over TLS on the loopback: for demo, tests and bench.

- server.py: class Simulator; tls.py its certificates; __main__.py the command line
- app.py: the routes; recorder.py the request log and the violations; faults.py what goes wrong on demand
- login.py: Entra's endpoints as MSAL calls them; pages.py what a person sees; tokens.py what was issued
- referrals.py: the four operations; updates.py the writes; paging.py the links; odata.py, values.py $filter
- control.py: the switches, by method or under /_sim/; state.py, store.py, settings.py what they act on
- data/: the seeded data sets: empty, disaster, awkward, bulk:N
"""

from simulator.server import Simulator

__all__ = ["Simulator"]
