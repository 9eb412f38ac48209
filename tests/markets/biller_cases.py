"""Wrong billers in a market file, by what would come of them: one edit of `demo.toml` a case."""

from __future__ import annotations

from tests.markets.cases import DEMO, Case

LAST_OF_STIMA = 'hint.am = "የቆጣሪ ቁጥር፣ 11 አኃዝ"'
QUICK = "ask_after_seconds = [2, 3, 5, 10, 20, 30, 60]"
STIMA_ENDS = "ask_horizon_seconds = 2_592_000     # 30 days; the biller buys anew after 90"
KING = DEMO[DEMO.index("[billers.king]") : DEMO.index('code = "king_family"')]
OWN_TARIFFS = """
[[billers.king.tariffs.bill_payment]]
effective_from = 2026-01-01
tax_in_fee_bps = 0
bands = [{ up_to_minor = 90_000_000, fee_minor = 0 }]

[[billers.king.tariffs.agent_bill]]
effective_from = 2026-01-01
tax_in_fee_bps = 0
bands = [{ up_to_minor = 90_000_000, fee_minor = 0 }]
"""
OWN_AGAIN = """
[[billers.king.tariffs.bill_payment]]
effective_from = 2026-01-01  # again
tax_in_fee_bps = 0
bands = [{ up_to_minor = 90_000_000, fee_minor = 0 }]

[billers.bando]
"""
# What could buy twice, or give money back for something that was sold.
TWICE = {
    "a policy that the family has not": Case(
        'silence_policy = "reverse"',
        'silence_policy = "ask"',
        "billers.serikali.silence_policy: this family knows 'advise' or 'reverse' only",
    ),
    "asking that buys anew": Case(
        STIMA_ENDS,
        "ask_horizon_seconds = 7_776_000",
        "billers.stima.ask_horizon_seconds: after 90 days asking buys again; must end a day "
        "before that",
    ),
    "a sale as a refusal": Case(
        'refused_codes = ["37"]',
        'refused_codes = ["00"]',
        "billers.maji.refused_codes: a pending or successful code cannot mean refused",
    ),
    "a malfunction as a refusal": Case(
        'refused_first_codes = ["13", "30", "51", "91"]',
        'refused_first_codes = ["13", "96"]',
        "billers.jiji.refused_first_codes: a pending or successful code cannot mean refused",
    ),
    "a signature as a refusal": Case(
        'refused_codes = ["02", "54"]',
        'refused_codes = ["02", "41"]',
        "billers.stima.refused_codes: 41 forms no transaction, so it may judge a repeated request "
        "and not the first; it belongs to refused_first_codes",
    ),
    "never had it as a refusal": Case(
        'refused_codes = ["37"]',
        'refused_codes = ["37", "42"]',
        "billers.maji.refused_codes: 42 forms no transaction, so it may judge a repeated request "
        "and not the first; it belongs to refused_first_codes",
    ),
    "a code in both lists": Case(
        'refused_first_codes = ["04", "14", "17", "20", "102"]',
        'refused_first_codes = ["14", "37"]',
        "billers.maji.refused_first_codes: a code stands in refused_codes too",
    ),
    "buying again where a reference sells twice": Case(
        'silence_policy = "advise"',
        'silence_policy = "advise"\nwhen_absent = "buy_again"',
        "billers.jiji.when_absent: this family could sell one reference twice",
        line='when_absent = "buy_again"',
    ),
    "buying again what may be forgotten": Case(
        f"{QUICK}\nask_horizon_seconds = 2_592_000\nmanual_after_seconds = 900",
        "ask_after_seconds = [600]\nask_horizon_seconds = 2_592_000\nmanual_after_seconds = 90_000",
        "billers.stima_post.manual_after_seconds: with buy_again at most a day: later the biller "
        "may have forgotten a sale",
        line="manual_after_seconds = 90_000",
    ),
    "a day that is not over at midnight": Case(
        "same_day = true  ",
        "same_day = false",
        "billers.stima_post.same_day: must be true: past midnight this family knows the inquiry "
        "no more",
    ),
    "an amount that nobody compares": Case(
        "same_day = true  ",
        "same_day = true\nprice_is_amount = false #",
        "billers.stima_post.price_is_amount: must be true: this family's answers name what the "
        "customer pays",
        line="price_is_amount = false",
    ),
    "one account, two families": Case(
        'credentials = "stima"',
        'credentials = "afya"',
        "billers.stima_post.credentials: afya has these credentials too, and speaks another family",
    ),
    "a sku twice in an account": Case(
        'sku = "stima-bill"',
        'sku = "stima-token"',
        "billers.stima_post.products.sku: another product of this account has this sku",
    ),
}
# What would never end, or be asked too late or too often.
ENDS = {
    "a hold for months": Case(
        f"{STIMA_ENDS}\nmanual_after_seconds = 900",
        "ask_horizon_seconds = 7_000_000\nmanual_after_seconds = 2_592_001",
        "billers.stima.manual_after_seconds: keeps people's money longer than 30 days",
        line="manual_after_seconds = 2_592_001",
    ),
    "over before it is asked": Case(
        "manual_after_seconds = 900",
        "manual_after_seconds = 2",
        "billers.stima.manual_after_seconds: ends before the biller is asked once",
    ),
    "thousands of questions": Case(
        "manual_after_seconds = 900",
        "manual_after_seconds = 86_400",
        "billers.stima.ask_after_seconds: its last step asks more than 1000 times until all is "
        "manual",
        line=QUICK,
    ),
    "a call that outlives its lease": Case(
        "\ntimeout_seconds = 10",
        "\ntimeout_seconds = 25",
        "billers.stima.timeout_seconds: must be at most 20.0",
        line="timeout_seconds = 25",
    ),
    "no time at all": Case(
        "\ntimeout_seconds = 10",
        "\ntimeout_seconds = nan",
        "billers.stima.timeout_seconds: must be at most 20.0",
        line="timeout_seconds = nan",
    ),
    "a phone that waits for ever": Case(
        "inquiry_timeout_seconds = 1.8",
        "inquiry_timeout_seconds = 2.5",
        "billers.stima.inquiry_timeout_seconds: must be at most 2.0",
    ),
    "a breaker that stays open": Case(
        "breaker_open_seconds = 5",
        "breaker_open_seconds = 86_400",
        "billers.stima.breaker_open_seconds: must be at most 3600",
    ),
    "a file without a day": Case(
        "cut_off = 18:00:00",
        "",
        "billers.shule.cut_off: is missing: the day's file is written then",
        line="[billers.shule]",
    ),
    "a file that is answered at once": Case(
        "ask_after_seconds = [86_400]\nask_horizon_seconds = 2_592_000\n"
        "manual_after_seconds = 259_200",
        "ask_after_seconds = [60]\nask_horizon_seconds = 2_592_000\nmanual_after_seconds = 900",
        "billers.shule.manual_after_seconds: must leave the biller a day for its answer file",
        line="manual_after_seconds = 900",
    ),
    "a file biller that opens": Case(
        "cut_off = 18:00:00",
        "opens = 08:00:00\ncut_off = 18:00:00",
        "billers.shule.opens: a biller that is paid by file takes payments at any time",
    ),
    "an end without a beginning": Case(
        'silence_policy = "ask"',
        'silence_policy = "ask"\ncut_off = 23:00:00',
        "billers.stima.opens: opens and cut_off belong together",
        line="[billers.stima]",
    ),
    "hours past midnight": Case(
        'silence_policy = "ask"',
        'opens = 22:00:00\ncut_off = 06:00:00\nsilence_policy = "ask"',
        "billers.stima.opens: must be before cut_off",
    ),
    "hours of another zone": Case(
        "cut_off = 18:00:00",
        'cut_off = "18:00:00+03:00"',
        "billers.shule.cut_off: must be a time of the market's day, such as 18:00:00",
    ),
    "hours that are none": Case(
        "cut_off = 18:00:00",
        'cut_off = "six"',
        "billers.shule.cut_off: must be a time of day, such as 18:00:00",
    ),
}
# What nobody could pay.
SOLD = {
    "no code of the family": Case(
        'refused_codes = ["02", "54"]',
        'refused_codes = ["2"]',
        "billers.stima.refused_codes: '2' is no code of this family; they are like 02",
    ),
    "words that break a screen": Case(
        'name = "Stima Power"',
        'name = "Stima\\nPower"',
        "billers.stima.name: must be one line of text, without spaces at its ends",
    ),
    "a sku with a space": Case(
        'sku = "stima-token"',
        'sku = "stima token"',
        "billers.stima.products.sku: must be 1 to 20 signs without spaces, not 'stima token'",
    ),
    "a sku longer than its field": Case(
        'sku = "JIJIPOST"',
        'sku = "JIJIPOSTPAID1"',
        "billers.jiji.products.sku: must have at most 12 characters in this family",
    ),
    "a price of one who types it": Case(
        'pay = "any"',
        'pay = "any"\nprice_minor = 100',
        "billers.stima.products.price_minor: is given where pay is 'fixed', and only there",
        line="price_minor = 100",
    ),
    "a price and a range": Case(
        "price_minor = 60_000",
        "price_minor = 60_000\nmin_minor = 100",
        "billers.king.products.min_minor: a fixed price has no other amounts",
        line="min_minor = 100",
    ),
    "no least": Case(
        "min_minor = 5_000\n",
        "",
        "billers.stima.products.min_minor: is missing",
        line="[[billers.stima.products]]",
    ),
    "an empty range": Case(
        "min_minor = 5_000",
        "min_minor = 6_000_000",
        "billers.stima.products.min_minor: must be at most max_minor",
    ),
    "a least between two steps": Case(
        "min_minor = 5_000",
        "min_minor = 5_050",
        "billers.stima.products.min_minor: must be a multiple of step_minor",
    ),
    "an amount that no field holds": Case(
        "max_minor = 5_000_000",
        "max_minor = 1_000_000_000_000",
        "billers.stima.products.max_minor: must be at most 999999999999",
    ),
    "a price that no tier may pay": Case(
        KING,
        OWN_TARIFFS + KING.replace("price_minor = 60_000", "price_minor = 60_000_000"),
        "billers.king.products.price_minor: no tier may pay more than 25000000 at once",
        line="price_minor = 60_000_000",
    ),
    "a price that no band reaches": Case(
        KING,
        OWN_TARIFFS.replace("90_000_000", "10_000") + KING,
        "billers.king.tariffs.bill_payment.bands: no band reaches 60000, the most for king_basic",
        line="bands = [{ up_to_minor = 10_000, fee_minor = 0 }]",
    ),
    "a biller's own day twice": Case(
        "[billers.bando]\n",
        OWN_TARIFFS + OWN_AGAIN,
        "billers.king.tariffs.bill_payment.effective_from: must be after the price list before it",
        line="effective_from = 2026-01-01  # again",
    ),
    "a biller's own price of something else": Case(
        "[billers.king]\n",
        OWN_TARIFFS.replace("agent_bill", "send") + "\n[billers.king]\n",
        "billers.king.tariffs.send: is no price of a bill",
        line="[[billers.king.tariffs.send]]",
    ),
    "a way of paying that the family has not": Case(
        'pay = "exact"',
        'pay = "partial"',
        "billers.stima_post.products.pay: this family takes exact only",
    ),
    "a bill that nobody asks about": Case(
        'pay = "exact"',
        'pay = "exact"\ninquiry = false',
        "billers.stima_post.products.inquiry: what is owed is known only by asking",
        line="inquiry = false",
    ),
    "a name that the family cannot tell": Case(
        "inquiry = false\nprice_minor = 60_000",
        "price_minor = 60_000",
        "billers.king.products.inquiry: this family knows the names of electricity only",
        line="[[billers.king.products]]",
    ),
    "a token of one who sells none": Case(
        'name = "Stima bill"',
        'name = "Stima bill"\nsells = "token"',
        "billers.stima_post.products.sells: this family sells no tokens",
        line='sells = "token"',
    ),
    "a price of cents": Case(
        "price_minor = 60_000",
        "price_minor = 60_050",
        "billers.king.products.price_minor: must be whole KES",
    ),
    "a hint that is missing": Case(
        LAST_OF_STIMA,
        "",
        "billers.stima.products.customer.hint: has none in 'am'",
        line="hint.en",
    ),
    "a shortcut that is a service code": Case(
        'service_codes = ["*384*123#"]',
        'service_codes = ["*384*123#", "*384*123*51#"]',
        "billers.stima.products.shortcut: is dialled as the service code *384*123*51#",
        line='shortcut = "51"',
    ),
    "lengths the wrong way round": Case(
        "least = 11",
        "least = 12",
        "billers.stima.products.customer.least: must be at most most",
    ),
    "a check digit of letters": Case(
        "luhn = true",
        "luhn = true\nletters = true",
        "billers.stima.products.customer.luhn: a number with letters has no check digit of this "
        "kind",
        line="luhn = true",
    ),
    "a telephone with a check digit": Case(
        'kind = "phone"',
        'kind = "phone"\nluhn = true',
        "billers.bando.products.customer.luhn: is for numbers; a telephone's number has its "
        "country's rules",
        line="luhn = true",
    ),
    "a pattern of another length": Case(
        "[0-9]{6}'",
        "[0-9]{5}'",
        "billers.serikali.products.customer.pattern: no number of 8 digits and letters matches it",
        line="pattern",
    ),
    "a pattern of letters for digits": Case(
        "letters = true",
        "letters = false",
        "billers.serikali.products.customer.pattern: no number of 8 digits matches it",
        line="pattern",
    ),
    "a pattern that could hang": Case(
        "'[A-Z]{2}[0-9]{6}'",
        "'([A-Z0-9]+)+'",
        "billers.serikali.products.customer.pattern: repeats without end; write {1,20} for +",
        line="pattern",
    ),
    "a pattern that is too long": Case(
        "'[A-Z]{2}[0-9]{6}'",
        f"'{'A' * 61}'",
        "billers.serikali.products.customer.pattern: must have at most 60 characters",
        line="pattern",
    ),
}
