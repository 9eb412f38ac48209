-- What allows taking from the house, as in rules_v3, and one thing more: a case of kind `sale_refund`
-- gives a payer back what a sale took that the biller took back. Only posting functions call it, so it
-- is replaced under its own name, and they need no new version.

-- Null when the authority allows what the moves take from the house; else 'authority_invalid'.
--
--   posting:<id>               gave at least as much to each house account that is taken from
--   bank_line:<id>             approved by two people, exactly its amount; only with it trust_bank
--                              moves. It may clear a deposit on its way, which then leaves
--                              suspense:deposits for an account of exactly that amount.
--   deposit:<uuid>             a deposit that is on its way: deposits_in_transit to suspense:deposits
--   accrual:<uuid>             a commission payout: what its snapshot says is funded, out of
--                              commission, into that agent's float
--   payment:<uuid>:late        once each, out of suspense and settlement, and only to another house
--   payment:<uuid>:returned    account: whoever can make up an authority makes no one's money with it
--   case:<uuid>                the same, or to the operator's own account; only a case that one
--                              proposed and another approved, before or in this transaction, and
--                              exactly its amount where it names one. One that refunds a sale: the
--                              very moves of its row in `refunds`, which `refund_v1` alone writes,
--                              and exactly its total
CREATE OR REPLACE FUNCTION authority_refusal_v1(
    p_authority text, p_debits bigint[], p_credits bigint[], p_amounts bigint[]
) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    c_uuid    CONSTANT text := '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}';
    v_subject CONSTANT text := substring(p_authority FROM '^[a-z_]+:(.*)$');
    v_bank    CONSTANT boolean := p_authority LIKE 'bank\_line:%';
    v_trusted boolean;     -- touches trust_bank
    v_trust   numeric;     -- what the trust bank gained
    v_taken   numeric;     -- from all house accounts
    v_open    boolean;     -- every move from suspense or settlement to another house account
    v_own     boolean;     -- or to the operator's own account
    v_cleared numeric;     -- taken out of suspense:deposits
    v_arrived numeric;     -- given to deposits_in_transit
    v_on_way  boolean;     -- every move from deposits_in_transit to suspense:deposits
    v_earned  numeric;     -- taken out of commission
    v_float   bigint;      -- the one account that all of that went to
    v_valid   boolean := false;
BEGIN
    SELECT bool_or('trust_bank' IN (d.kind, c.kind)),
           coalesce(sum(CASE WHEN d.kind = 'trust_bank' THEN m.amount
                             WHEN c.kind = 'trust_bank' THEN -m.amount ELSE 0 END), 0),
           coalesce(sum(m.amount) FILTER (WHERE d.house), 0),
           bool_and(d.kind ~ '^(suspense|settlement):' AND c.house),
           bool_and(d.kind ~ '^(suspense|settlement):' AND (c.house OR (
               c.kind = 'till' AND c.owner_kind = 'merchant'
               AND c.owner_id IS NOT DISTINCT FROM '00000000-0000-0000-0000-000000000001'))),
           coalesce(sum(m.amount) FILTER (WHERE d.kind = 'suspense:deposits'), 0),
           coalesce(sum(m.amount) FILTER (WHERE c.kind = 'deposits_in_transit'), 0),
           bool_and(d.kind = 'deposits_in_transit' AND c.kind = 'suspense:deposits'),
           coalesce(sum(m.amount) FILTER (WHERE d.kind = 'commission'), 0),
           CASE WHEN min(m.credit) FILTER (WHERE d.kind = 'commission')
                   = max(m.credit) FILTER (WHERE d.kind = 'commission')
                THEN min(m.credit) FILTER (WHERE d.kind = 'commission') END
    INTO v_trusted, v_trust, v_taken, v_open, v_own, v_cleared, v_arrived, v_on_way, v_earned, v_float
    FROM unnest(p_debits, p_credits, p_amounts) AS m (debit, credit, amount)
    JOIN accounts d ON d.id = m.debit
    JOIN accounts c ON c.id = m.credit;

    IF v_bank THEN
        SELECT l.checker IS NOT NULL AND l.amount_minor = v_trust
               AND l.currency = (SELECT a.currency FROM accounts a WHERE a.id = p_debits[1])
               AND (v_taken IN (0, abs(l.amount_minor))
                    OR (l.amount_minor > 0 AND v_taken = 2 * l.amount_minor
                        AND v_cleared = l.amount_minor AND v_arrived = l.amount_minor))
        INTO v_valid FROM bank_lines l WHERE l.id = v_subject;
    ELSIF v_trusted THEN
        v_valid := false;
    ELSIF p_authority ~ '^posting:[1-9][0-9]{0,17}$' THEN
        SELECT EXISTS (SELECT FROM postings p WHERE p.id = v_subject::bigint) AND NOT EXISTS (
            SELECT FROM unnest(p_debits, p_amounts) AS m (debit, amount)
            JOIN accounts a ON a.id = m.debit AND a.house
            GROUP BY m.debit
            HAVING sum(m.amount) > coalesce((
                SELECT sum(g.amount_minor) FROM moves g
                WHERE g.posting_id = v_subject::bigint AND g.credit = m.debit
            ), 0)
        ) INTO v_valid;
    ELSIF p_authority ~ ('^deposit:' || c_uuid || '$') THEN
        v_valid := v_on_way;
    ELSIF p_authority ~ ('^accrual:' || c_uuid || '$') THEN
        SELECT EXISTS (
            SELECT FROM commission_payouts o
            WHERE o.id = v_subject::uuid AND v_taken = v_earned
              AND o.funded_minor = v_earned AND o.float_id = v_float
        ) INTO v_valid;
    ELSIF p_authority ~ ('^payment:' || c_uuid || ':(late|returned)$') THEN
        v_valid := v_open;
    ELSIF p_authority ~ ('^case:' || c_uuid || '$') THEN
        SELECT c.state = 'approved' AND CASE c.kind
            WHEN 'sale_refund' THEN (c.facts ->> 'total_minor')::numeric = v_taken AND EXISTS (
                SELECT FROM refunds r
                CROSS JOIN LATERAL refund_moves_v1(r.capture_id, r.returned_id) AS m
                WHERE r.case_id = c.id AND m.o_debits = p_debits AND m.o_credits = p_credits
                  AND m.o_amounts = p_amounts)
            ELSE v_own AND coalesce((c.facts ->> 'amount_minor')::numeric, v_taken) = v_taken END
        INTO v_valid FROM cases c WHERE c.id = v_subject::uuid;
    END IF;
    RETURN CASE WHEN v_valid THEN NULL ELSE 'authority_invalid' END;
END $$;
