"""10,000 payments over every biller of the demo market, one in five of them hit by a fault.

The workers, the web and the sandbox are the real processes; the payments are confirmed as the menus
confirm them, after inquiries over the billers' wires, at the pace that the workers hold. What is
bought, by whom and which faults come is drawn from the seed; what a fault hits, and when, is not.

    purchases  what is bought and what goes wrong, drawn from a seed
    paying     inquiry, intent, confirmation
    running    the system around it, from the first payment until all is at rest
    judging    what the sandbox sold beside what the ledger captured, and what people were told
"""

from bench.soak.running import Servers, play, run

__all__ = ["Servers", "play", "run"]
