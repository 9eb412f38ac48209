"""The faults that a biller can have, by its family and by what it sells."""

from sandbox.billers.accounts import BillerAccount
from sandbox.faults import Kind

# What happens to a call on its way; a first request and a repeated one are hit alike.
SILENCE = {
    "no_answer": Kind("Never answers, sells nothing"),
    "slow": Kind("Answers after 5 seconds", 5.0),
    "lost_reply": Kind("Sells, but the answer is lost"),
    "wrong_body": Kind("Answers nonsense"),
    "malformed": Kind("Sells, but the answer is cut short"),
    "cut": Kind("Sells, then the line is cut in mid-answer"),
    "wrong_amount": Kind("Answers with another amount"),
}
PROXIES = {
    "http_400": Kind("A proxy answers 400"),
    "http_500": Kind("A proxy answers 500"),
    "http_502": Kind("A proxy answers 502"),
}
# What decides a new purchase; a repeated reference does not use them up.
OUTCOMES = {
    "refuse": Kind("Refuses the payment"),
    "not_formed": Kind("Refuses before a transaction is formed"),
    "late_success": Kind("Pending, sold after 20 seconds", 20.0),
    "late_refusal": Kind("Pending, refused after 20 seconds", 20.0),
    "pending_forever": Kind("Pending for ever"),
    "refuse_after_lost_reply": Kind("Sells, loses the answer, then says duplicate"),
}
DUPLICATE_STAN = {"duplicate_stan": Kind("Sells, but says duplicate at once")}
TOKENS = {
    "two_tokens": Kind("Gives two tokens"),
    "three_tokens": Kind("Gives three tokens"),
    "bad_token": Kind("Gives a token that no meter takes"),
}
WEBHOOKS = {
    "duplicate_webhook": Kind("The webhook comes twice at once"),
    "early_webhook": Kind("The webhook comes before the answer"),
    "no_webhook": Kind("No webhook comes"),
    "flipped_webhook": Kind("Sold, then undone after 2 seconds", 2.0),
    "bad_signature": Kind("The webhook is signed wrongly"),
}
BATCHES = {
    "no_answer": Kind("Leaves our file lying"),
    "slow": Kind("Answers after 5 seconds", 5.0),
    "lost_reply": Kind("Books it all, but the answer is lost"),
    "refuse": Kind("Rejects every line"),
    "wrong_body": Kind("Answers nonsense, books nothing"),
    "malformed": Kind("Books it all, the answer is cut short"),
    "wrong_amount": Kind("Answers a line with another amount"),
    "missing_line": Kind("Leaves a line out, and never books it"),
}


def kinds_of(account: BillerAccount) -> dict[str, Kind]:
    """What this biller can be told to do."""
    if account.family == "file":
        return BATCHES
    sells_tokens = any(product.gives_token for product in account.products)
    tokens = TOKENS if sells_tokens else {}
    if account.family == "iso8583":
        return SILENCE | OUTCOMES | DUPLICATE_STAN | tokens
    return SILENCE | PROXIES | OUTCOMES | tokens | WEBHOOKS
