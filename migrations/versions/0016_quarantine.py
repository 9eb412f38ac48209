"""A restored database moves no money and sends nothing until it has been recovered.

Revision ID: 0016
Revises: 0015
"""

from __future__ import annotations

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

UP = """
-- One row while the quarantine stands; none in ordinary life.
CREATE TABLE quarantine (
    singleton        boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    since            timestamptz NOT NULL DEFAULT clock_timestamp(),
    why              text NOT NULL CHECK (char_length(btrim(why)) BETWEEN 3 AND 1000),
    restored_to      timestamptz
);
CREATE TABLE recoveries (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    case_id          uuid NOT NULL UNIQUE REFERENCES cases (id),
    quarantined_at   timestamptz NOT NULL,
    why              text NOT NULL,
    restored_to      timestamptz,
    recovered_at     timestamptz NOT NULL,
    payments         integer NOT NULL CHECK (payments >= 0),
    messages         integer NOT NULL CHECK (messages >= 0)
);
GRANT SELECT, DELETE ON quarantine TO kibanda_app;
GRANT SELECT, INSERT ON recoveries TO kibanda_app;

-- Every write that moves money, calls a biller or sends an SMS passes one of these tables. Names
-- are whole, for a search_path of its own would be set and reset with every posting.
CREATE FUNCTION refuse_in_quarantine() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM public.quarantine) THEN
        RAISE EXCEPTION 'the database is in quarantine' USING ERRCODE = 'KQ001';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER quarantine BEFORE INSERT ON posting_keys
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_in_quarantine();
CREATE TRIGGER quarantine BEFORE INSERT OR UPDATE ON holds
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_in_quarantine();
CREATE TRIGGER quarantine BEFORE INSERT OR UPDATE ON payments
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_in_quarantine();
CREATE TRIGGER quarantine BEFORE INSERT OR UPDATE ON biller_batches
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_in_quarantine();
CREATE TRIGGER quarantine BEFORE INSERT OR UPDATE ON settlement_orders
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_in_quarantine();
-- A delivery report is of the past, and may come in.
CREATE TRIGGER quarantine BEFORE UPDATE ON messages FOR EACH ROW
    WHEN (NEW.state IS DISTINCT FROM OLD.state OR NEW.fence IS DISTINCT FROM OLD.fence)
    EXECUTE FUNCTION refuse_in_quarantine();

-- Whoever writes at this moment ends first; whoever comes later is refused.
CREATE FUNCTION quarantine_v1(p_why text, p_restored_to timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    LOCK TABLE payments, messages, holds, posting_keys, biller_batches, settlement_orders
        IN SHARE ROW EXCLUSIVE MODE;
    INSERT INTO quarantine (why, restored_to) VALUES (p_why, p_restored_to)
    ON CONFLICT (singleton) DO NOTHING;
END $$;

-- Messages of wires are numbered by it. Numbers that were given away after the restored instant
-- must not be given to other payments.
CREATE FUNCTION skip_serials_v1() RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT setval(pg_get_serial_sequence('payments', 'serial'),
                  nextval(pg_get_serial_sequence('payments', 'serial')) + 1000000)
$$;
REVOKE ALL ON FUNCTION quarantine_v1, skip_serials_v1 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION quarantine_v1, skip_serials_v1 TO kibanda_app;

-- Since when a biller is asked anew about a payment of a restored database.
ALTER TABLE payments ADD COLUMN asked_from timestamptz;

-- What may have been sent after the restored instant waits for one of the staff.
ALTER TABLE messages DROP CONSTRAINT messages_state_check;
ALTER TABLE messages ADD CONSTRAINT messages_state_check
    CHECK (state IN ('due', 'sending', 'sent', 'refused', 'gave_up', 'review'))
    NOT VALID; -- what is there passed a narrower one, and need not be read while all wait
"""


def upgrade() -> None:
    op.get_bind().connection.driver_connection.execute(UP)  # type: ignore[union-attr]


def downgrade() -> None:
    """Refused: a quarantine that stands must not be dropped by a tool."""
    raise NotImplementedError("there is no way back; restore a backup into a new database")
