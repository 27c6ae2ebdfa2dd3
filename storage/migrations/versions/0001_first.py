"""The first schema.

Keys that are read while deciding start with the consumer's identifier or with the site, so that the tables
can be distributed. Ids compare byte by byte (collation "C"): the same order in every locale, and in Python.
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

NETWORK = """
CREATE DOMAIN identity AS text COLLATE "C" CHECK (octet_length(VALUE) BETWEEN 1 AND 520);

CREATE TABLE subscriber (
    subscriber_id   identity PRIMARY KEY,
    name            text NOT NULL,
    status          text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended')),
    allowed_origins text[] NOT NULL DEFAULT '{}',
    legal_basis     text,
    created_at      timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE site (
    site_id       identity PRIMARY KEY,
    name          text NOT NULL,
    subscriber_id identity REFERENCES subscriber,
    created_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX site_of_subscriber ON site (subscriber_id);
COMMENT ON COLUMN site.subscriber_id IS 'null: activity may come from this site, promotions are not shown on it';

CREATE TABLE api_key (
    key_hash      bytea PRIMARY KEY,
    subscriber_id identity NOT NULL REFERENCES subscriber,
    kind          text NOT NULL CHECK (kind IN ('secret', 'public')),
    hint          text NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    revoked_at    timestamptz
);
CREATE INDEX api_key_of_subscriber ON api_key (subscriber_id);
COMMENT ON COLUMN api_key.key_hash IS 'sha256 of the key, which is shown once and not kept';

CREATE TABLE signing_key (
    key_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    secret     bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    retired_at timestamptz
);
"""

ACTIVITY = """
CREATE TABLE source (
    source_id   identity PRIMARY KEY,
    vendor      text,
    licence     text,
    legal_basis text,
    created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE identifier (
    namespace   identity,
    identifier  identity,
    consumer_id identity NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (namespace, identifier)
);
CREATE INDEX identifier_of_consumer ON identifier (consumer_id);

CREATE TABLE activity (
    namespace    identity,
    identifier   identity,
    site_id      identity,
    event_id     identity,
    kind         text COLLATE "C" NOT NULL CHECK (kind IN ('page_view', 'product_review', 'purchase',
                     'promotion_view', 'promotion_click', 'promotion_conversion')),
    item_id      identity,
    promotion_id identity,
    occurred_at  timestamptz,
    received_at  timestamptz NOT NULL DEFAULT now(),
    same_site    boolean NOT NULL,
    cross_site   boolean NOT NULL,
    source_id    identity NOT NULL,
    rating       double precision,
    quantity     double precision,
    value        double precision,
    currency     text,
    decision     jsonb,
    PRIMARY KEY (namespace, identifier, site_id, event_id)
);
CREATE INDEX activity_newest_first ON activity
    (namespace, identifier, occurred_at DESC NULLS LAST, site_id, event_id);

CREATE TABLE audience_member (
    consumer_id identity,
    audience_id identity,
    PRIMARY KEY (consumer_id, audience_id)
);

CREATE TABLE quarantine (
    quarantine_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    row_key       bytea UNIQUE,
    received_at   timestamptz NOT NULL DEFAULT now(),
    source_id     identity NOT NULL,
    location      text,
    reason        text NOT NULL,
    payload       text
);
COMMENT ON COLUMN quarantine.row_key IS 'digest of where a row of a file stood: the file read again adds nothing';
"""

OFFERS = """
CREATE TABLE item (
    site_id    identity REFERENCES site,
    item_id    identity,
    title      text,
    category   text COLLATE "C",
    image_url  text,
    url        text,
    attributes jsonb NOT NULL DEFAULT '{}',
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (site_id, item_id)
);
CREATE INDEX item_of_category ON item (site_id, category);

CREATE TABLE promotion (
    promotion_id  identity PRIMARY KEY,
    subscriber_id identity REFERENCES subscriber,
    title         text NOT NULL,
    body          text,
    image_url     text,
    landing_url   text,
    code          text,
    audience_id   identity,
    placements    text[],
    starts_at     timestamptz,
    ends_at       timestamptz,
    status        text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'paused', 'ended')),
    digest        bytea NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    CHECK (ends_at > starts_at)
);
COMMENT ON COLUMN promotion.audience_id IS 'null: for everyone';
COMMENT ON COLUMN promotion.placements IS 'null: for any placement';
COMMENT ON COLUMN promotion.digest IS 'of all it says and covers: written again unchanged, nothing happens';

CREATE TABLE promotion_site (
    site_id      identity REFERENCES site,
    promotion_id identity REFERENCES promotion ON DELETE CASCADE,
    PRIMARY KEY (site_id, promotion_id)
);
CREATE INDEX promotion_site_of_promotion ON promotion_site (promotion_id);

CREATE TABLE promotion_item (
    promotion_id identity REFERENCES promotion ON DELETE CASCADE,
    site_id      identity,
    item_id      identity,
    PRIMARY KEY (promotion_id, site_id, item_id)
);
COMMENT ON TABLE promotion_item IS 'the item itself may come later, or only ever be known from activity';

CREATE TABLE promotion_category (
    promotion_id identity REFERENCES promotion ON DELETE CASCADE,
    site_id      identity,
    category     text COLLATE "C",
    PRIMARY KEY (promotion_id, site_id, category)
);
"""

CHAMPIONS = """
CREATE TABLE champion_log (
    entry_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    version    text NOT NULL,
    model_kind text NOT NULL,
    digest     text NOT NULL,
    location   text NOT NULL,
    action     text NOT NULL CHECK (action IN ('promote', 'rollback')),
    actor      text NOT NULL,
    at         timestamptz NOT NULL DEFAULT now()
);
"""

NOTIFY = """
CREATE FUNCTION notify_tailor() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('tailor', TG_TABLE_NAME);
    RETURN NULL;
END $$;
"""

WATCHED = (
    "subscriber",
    "site",
    "api_key",
    "item",
    "promotion",
    "promotion_site",
    "promotion_item",
    "promotion_category",
    "champion_log",
)


def upgrade() -> None:
    for statements in (NETWORK, ACTIVITY, OFFERS, CHAMPIONS, NOTIFY):
        op.execute(statements.replace(":", r"\:"))
    for table in WATCHED:
        op.execute(
            f"CREATE TRIGGER notify_tailor AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION notify_tailor()"
        )


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: going back would delete what was remembered")
