"""What a consumer agreed to, who is who, what subscribers share, and records of what was deleted.

Nothing here stands in the way of a decision: what a consumer withdraws is taken back in the rows of activity
themselves, and who is who stays in `identifier`.
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

CONSENT = """
CREATE TABLE consent (
    namespace  identity,
    identifier identity,
    site_id    identity,
    same_site  boolean NOT NULL,
    cross_site boolean NOT NULL,
    stated_at  timestamptz NOT NULL,
    PRIMARY KEY (namespace, identifier, site_id)
);
COMMENT ON TABLE consent IS 'the last word of a consumer on a site: no event counts for more, whatever it states';
"""

IDENTITY = """
CREATE TABLE merge (
    merge_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at            timestamptz NOT NULL DEFAULT now(),
    how           text NOT NULL CHECK (how IN ('cookie', 'login', 'link')),
    from_consumer identity NOT NULL,
    into_consumer identity NOT NULL,
    moved         jsonb NOT NULL,
    token_id      text UNIQUE,
    undone_at     timestamptz
);
CREATE INDEX merge_into ON merge (into_consumer);
COMMENT ON COLUMN merge.moved IS 'the identifiers and audiences that belonged to from_consumer before';
COMMENT ON COLUMN merge.token_id IS 'of the link that was followed: it counts once';
"""

SHARING = """
ALTER TABLE subscriber
    ADD COLUMN shares_activity boolean NOT NULL DEFAULT true,
    ADD COLUMN accepts_from    text[];
COMMENT ON COLUMN subscriber.shares_activity IS 'whether activity on its sites may tailor promotions elsewhere';
COMMENT ON COLUMN subscriber.accepts_from IS 'whose activity may tailor promotions on its sites; null: all that share';

ALTER TABLE api_key ADD COLUMN expires_at timestamptz;
COMMENT ON COLUMN api_key.expires_at IS 'set when a newer key takes over; until then both count';
"""

RECORDS = """
CREATE TABLE erasure (
    erasure_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at           timestamptz NOT NULL DEFAULT now(),
    asked_by     text NOT NULL,
    rows_deleted jsonb NOT NULL,
    cleaned_at   timestamptz
);
COMMENT ON TABLE erasure IS 'proof that somebody was erased, without a word on who';
COMMENT ON COLUMN erasure.cleaned_at IS 'since when no file of the database and no snapshot holds them any more';

CREATE TABLE retention_sweep (
    sweep_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at           timestamptz NOT NULL DEFAULT now(),
    kept_since   timestamptz NOT NULL,
    rows_deleted jsonb NOT NULL
);
"""

# Whose event it is tells its identifier: a second name would be left over when the first is erased.
DECISIONS = "UPDATE activity SET decision = decision - 'consumer_id' WHERE decision IS NOT NULL;"


def upgrade() -> None:
    for statements in (CONSENT, IDENTITY, SHARING, RECORDS, DECISIONS):
        op.execute(statements.replace(":", r"\:"))


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: going back would delete what was remembered")
