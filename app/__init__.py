"""Kibanda, a USSD and SMS mobile-money channel server.

The layers, lowest first. An import points down only and siblings do not see each other; the
contract is in pyproject.toml and CI proves it.

    L0  errors                          what a caller may be told
    L1  money msisdn settings markets failpoints
    L2  db text telemetry bell
    L3  notices gateways                what must go out, and the operators' wire formats
    L4  wallet                          the ledger and everything that moves money
    L5  billers                         who is paid, and what became of it
    L6  sms ussd                        the two channels a person sees
    L7  web                             callbacks, health, metrics
    L8  factory cli                     assembly and the command line
    L9  workers (top-level package)     RQ jobs and the schedule
"""
