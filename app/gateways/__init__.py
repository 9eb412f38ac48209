"""L3: the operators' wire formats, one file an operator.

`wire` holds the messages that every adapter speaks. An adapter turns a request into them and our
answer back into bytes; it decides nothing, keeps nothing and never logs what a person typed.
"""
