"""The billers: what they sell, what their customers owe, and the wire that each of them speaks.

accounts    which billers there are, from the environment
customers   who exists, what they are called, what they owe
till        what was sold, undone and barred; on disk before told
inquiries   what was asked before it was paid
kinds       the faults that each family can have
agenda      things to do later: a webhook, a flip
webhooks    what a biller tells us by itself
family      what every family is made of, and the exchange with one that speaks HTTP
counter     the HTTP face of them all
digiflazz, iak, xendit, iso8583, batches    one file a family
iso_line    the TCP side of the ISO 8583 family
"""
