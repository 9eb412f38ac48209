"""L6: the SMS channel. What is owed to a person is a row in `messages`; here it becomes words.

What may live here: receipts (facts to text), outbound (claim, send, record), delivery (what became
of it) and, later, inbound commands. Nothing here moves money, and no other room sends an SMS.
"""
