"""From a restored database back to work: what the quarantine ends with.

    marking   every payment and message that may have gone on after the restored instant is put in
              doubt, and the quarantine is lifted, in one transaction
    review    the messages in doubt, which one of the staff sends or drops

    restored ─quarantine─▶ nothing is claimed ─recover: maker, checker─▶ billers are asked

1. Nothing is bought before it was asked about: what the backup calls held may have been sold since.
2. What was done after the restored instant and left no row is found outside: by reconciliation with
   the billers' files, and by the bank's statement.
"""
