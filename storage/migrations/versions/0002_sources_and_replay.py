"""What bought data costs and until when it may be used; what a quarantined row would have been.

Whoever computes something from activity reads `usable_activity`: events of a source that was withdrawn or has
expired are not in it. Its array is made once a query, so that a read by identifier costs no more than before.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SOURCES = """
ALTER TABLE source
    ADD COLUMN price            numeric(14, 2) CHECK (price >= 0),
    ADD COLUMN currency         text CHECK (currency ~ '^[A-Z]{3}$'),
    ADD COLUMN acquired_on      date,
    ADD COLUMN expires_on       date,
    ADD COLUMN withdrawn_at     timestamptz,
    ADD COLUMN withdrawn_reason text;
COMMENT ON COLUMN source.expires_on IS 'the last day, in UTC, on which its events may be used; null: no end';
COMMENT ON COLUMN source.withdrawn_at IS 'since when its events are kept but not used';

CREATE VIEW usable_activity AS
SELECT * FROM activity
WHERE source_id <> ALL (ARRAY(
    SELECT s.source_id::text FROM source s
    WHERE s.withdrawn_at IS NOT NULL OR s.expires_on < (now() AT TIME ZONE 'UTC')::date
));
"""

QUARANTINE = """
ALTER TABLE quarantine
    ADD COLUMN intake text NOT NULL DEFAULT 'activity'
        CHECK (intake IN ('activity', 'items', 'promotions', 'audiences'));
COMMENT ON COLUMN quarantine.intake IS 'what the row would have been, for taking it in later';
"""


def upgrade() -> None:
    for statements in (SOURCES, QUARANTINE):
        op.execute(statements.replace(":", r"\:"))


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: going back would delete what was remembered")
