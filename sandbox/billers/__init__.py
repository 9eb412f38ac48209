"""The billers: what they sell, what their customers owe, and the wire that each of them speaks.

    accounts      which billers there are, from the environment
    customers     who exists, what they are called, what they owe
    transactions  orders, and what is formed of them
    till          what was sold, undone and barred; on disk before told
    inquiries     what was asked before it was paid
    kinds         the faults that each family can have
    agenda        things to do later: a webhook, a flip
    webhooks      what a biller tells us by itself
    family        what every family is made of, and the exchange with one that speaks HTTP
    counter       the HTTP face of them all
    families      opens every biller of the settings

One file a family: digiflazz_prepaid and digiflazz_postpaid over digiflazz, iak_prepaid and
iak_postpaid over iak, xendit, iso8583 with its TCP side in iso_line, and batches for files.
"""
