"""Kibanda, a USSD and SMS mobile-money channel server.

The layers, lowest first. An import points down only and siblings do not see each other; the
contract is in pyproject.toml and CI proves it.

    L0  errors                          what a caller may be told
    L1  money msisdn luhn · settings sealing markets failpoints patience durable memory
    L2  text telemetry · db bell
    L3  notices gateways health         what must go out, and the operators' wire formats
        quarantine                      whether a restored database stands still
    L4  wallet                          the ledger and everything that moves money
    L5  billers                         who is paid, and what became of it
    L6  sms ussd                        the two channels a person sees
    L7  recovery · runtime staff · web  after a restore, the assembled parts, staff, HTTP
    L8  cli · factory                   the command line, assembly
    L9  workers (top-level package)     RQ jobs and the schedule
"""
