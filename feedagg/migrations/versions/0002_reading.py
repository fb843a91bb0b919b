"""Numbers for records, what they answer, and the index behind the search.

A record gets a number (`id`): short enough for every index, the order of arrival, and the name by which the word index
knows it. `target` and `label` say what a reply or a reaction belongs to. The words live in FTS5 (SQLite, kept by
triggers) or behind a GIN index over an expression (PostgreSQL), so that no text is stored twice.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from feedagg.decide import aim

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

LISTED = "status = 0 AND NOT hidden"
ORDERED = {  # name -> (columns, the rows in it)
    "records_feed": ("sort_at, id", f"{LISTED} AND in_feed"),
    "records_arrival": ("id", f"{LISTED} AND in_feed"),
    "records_bee": ("bee, sort_at, id", LISTED),
    "records_film": ("film, sort_at, id", f"{LISTED} AND film IS NOT NULL"),
    "records_title": ("film_title, sort_at, id", f"{LISTED} AND film IS NOT NULL"),
    "records_target": ("target, label, sort_at, id", "status < 2 AND NOT hidden AND target IS NOT NULL"),
}
SEARCHED = "status = 0 OR (status = 1 AND kind = 'profile')"

SQLITE_RECORDS = """
CREATE TABLE records (
    id INTEGER NOT NULL PRIMARY KEY, bee BLOB NOT NULL, "key" BLOB NOT NULL, seq BIGINT NOT NULL,
    status SMALLINT NOT NULL, kind VARCHAR(16), reason VARCHAR(32), value BLOB, first_seen BIGINT NOT NULL,
    created_at BIGINT, sort_at BIGINT NOT NULL, date_flag VARCHAR(24), in_feed BOOLEAN NOT NULL, film TEXT,
    film_title TEXT, rating SMALLINT, hidden BOOLEAN DEFAULT 0 NOT NULL, target BLOB, label VARCHAR(32))
"""
OLD_COLUMNS = (
    'bee, "key", seq, status, kind, reason, value, first_seen, created_at, sort_at, date_flag, in_feed, film, '
    "film_title, rating, hidden"
)


def _is_searched(row: str) -> str:
    return f"({row}.status = 0 OR ({row}.status = 1 AND {row}.kind = 'profile'))"


def _words(row: str) -> str:
    return f"feed_words({row}.bee, {row}.kind, {row}.value)"


_FORGET = (
    f"INSERT INTO words (words, rowid, terms) SELECT 'delete', old.id, {_words('old')} "
    f"WHERE {_is_searched('old')};"
)
_LEARN = f"INSERT INTO words (rowid, terms) SELECT new.id, {_words('new')} WHERE {_is_searched('new')};"
SQLITE_SEARCH = (
    # No content (the records have it), no positions, no lengths: only which word is in which record.
    "CREATE VIRTUAL TABLE words USING fts5(terms, content='', columnsize=0, detail=none, tokenize='ascii')",
    f"CREATE TRIGGER records_words_new AFTER INSERT ON records BEGIN {_LEARN} END",
    f"CREATE TRIGGER records_words_gone AFTER DELETE ON records BEGIN {_FORGET} END",
    "CREATE TRIGGER records_words_changed AFTER UPDATE OF bee, status, kind, value ON records "
    f"BEGIN {_FORGET} {_LEARN} END",
)

# `feedagg/words.py` in SQL. Whatever is wrong with a value makes it a record without words, never an error.
POSTGRES_WORDS = r"""
CREATE FUNCTION feed_fold(t text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT lower(regexp_replace(normalize(t, NFKD), U&'[\0300-\036F]', '', 'g') COLLATE "{collation}")
$$;
CREATE FUNCTION feed_split(t text) RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(array_agg(left(word, 40)), '{}') FROM regexp_split_to_table(feed_fold(t),
        U&'[\0001-/:-@\005B-`{-\00BF\2000-\206F\3000-\303F\E000-\F8FF\FE00-\FE0F\FEFF]+') AS word WHERE word <> ''
$$;
CREATE FUNCTION feed_words(bee bytea, kind text, value bytea) RETURNS tsvector LANGUAGE plpgsql IMMUTABLE COST 5000
AS $$
DECLARE
    r json; m constant text := U&'\E000'; terms text[]; tags text[]; year text; film json; tag text; joined text;
BEGIN
    r := convert_from(value, 'UTF8')::json;
    terms := ARRAY[m || 'b' || left(encode(bee, 'hex'), 16), m || 'k' || kind];
    IF kind = 'profile' THEN
        RETURN array_to_tsvector(terms || feed_split(concat_ws(' ', r->>'name', r->>'bio')));
    END IF;
    film := CASE WHEN json_typeof(r->'film') = 'object' THEN r->'film' END;
    IF json_typeof(r->'tags') = 'array' THEN
        SELECT array_agg(t) INTO tags FROM json_array_elements_text(r->'tags') AS t;
        FOREACH tag IN ARRAY coalesce(tags, '{}') LOOP
            joined := array_to_string(feed_split(tag), U&'\E001');
            IF joined <> '' THEN terms := terms || (m || 't' || joined); END IF;
        END LOOP;
    END IF;
    year := CASE WHEN film IS NULL THEN r->>'year' ELSE film->>'year' END;
    IF year ~ '^[1-9][0-9]{3}$' THEN terms := terms || (m || 'y' || year); END IF;
    IF r->>'rating' ~ '^([1-9]|10)$' THEN terms := terms || (m || 'r' || (r->>'rating')); END IF;
    IF r->'review'->>'text' IS NOT NULL THEN terms := terms || (m || 'hreview'); END IF;
    IF json_typeof(r->'media') = 'array' THEN
        IF json_array_length(r->'media') > 0 THEN terms := terms || (m || 'himage'); END IF;
    END IF;
    IF film->>'title' IS NOT NULL THEN terms := terms || (m || 'hfilm'); END IF;
    IF json_typeof(r->'reply') = 'object' THEN terms := terms || (m || 'hreply'); END IF;
    IF r->>'cw' IS NOT NULL THEN terms := terms || (m || 'hwarning'); END IF;
    IF r->'more'->>'text' IS NOT NULL THEN terms := terms || (m || 'hmore'); END IF;
    RETURN array_to_tsvector(terms || feed_split(concat_ws(' ', r->>'text', r->>'title', r->'more'->>'text',
        r->'review'->>'text', film->>'title', array_to_string(tags, ' '))));
EXCEPTION WHEN OTHERS THEN
    RETURN ''::tsvector;
END
$$;
"""
POSTGRES_INDEX = (
    f"CREATE INDEX records_words ON records USING gin (feed_words(bee, kind, value)) WHERE {SEARCHED}"
)


def upgrade() -> None:
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    for name in ("feed", "bee", "film", "title", "skipped"):
        op.execute(f"DROP INDEX records_{name}")
    if is_sqlite:
        op.execute("ALTER TABLE records RENAME TO records_before")
        op.execute(SQLITE_RECORDS)
        op.execute(
            f"INSERT INTO records ({OLD_COLUMNS}) SELECT {OLD_COLUMNS} FROM records_before "  # noqa: S608
            'ORDER BY first_seen, sort_at, bee, "key"'
        )
        op.execute("DROP TABLE records_before")
    else:
        op.execute("ALTER TABLE records DROP CONSTRAINT records_pkey, ADD COLUMN id BIGSERIAL PRIMARY KEY")
        op.execute("ALTER TABLE records ADD COLUMN target BYTEA, ADD COLUMN label VARCHAR(32)")
    op.execute('CREATE UNIQUE INDEX records_key ON records (bee, "key")')
    _find_targets()
    for name, (columns, where) in ORDERED.items():
        # SQLite has no booleans, and uses a partial index only where a query says the same in the same words.
        said = (
            where.replace("NOT hidden", "hidden = 0").replace("in_feed", "in_feed = 1")
            if is_sqlite
            else where
        )
        op.execute(f"CREATE INDEX {name} ON records ({columns}) WHERE {said}")
    op.execute("CREATE INDEX records_skipped ON records (bee, reason) WHERE status = 2")
    if is_sqlite:
        for statement in SQLITE_SEARCH:
            op.execute(statement)
        op.execute(
            "INSERT INTO words (rowid, terms) SELECT id, feed_words(bee, kind, value) FROM records "  # noqa: S608
            f"WHERE {SEARCHED}"
        )
    else:
        # A database made with the locale C knows only ASCII letters; ICU's root collation knows them all.
        named = sa.text("SELECT collname FROM pg_collation WHERE collname = 'und-x-icu'")
        collation = op.get_bind().execute(named).scalar() or "default"
        op.get_bind().exec_driver_sql(POSTGRES_WORDS.replace("{collation}", collation).replace("%", "%%"))
        op.execute(POSTGRES_INDEX)


def _find_targets() -> None:
    """What the replies and reactions that are here already belong to."""
    connection = op.get_bind()
    after = 0
    find = sa.text(
        'SELECT id, "key", value FROM records WHERE id > :after AND status < 2 AND kind IN '
        "('post', 'react') ORDER BY id LIMIT 1000"
    )
    mark = sa.text("UPDATE records SET target = :target, label = :label WHERE id = :id")
    while rows := connection.execute(find, {"after": after}).all():
        after = rows[-1].id
        aims = [(row.id, *aim(row.key, row.value)) for row in rows]
        found = [{"id": number, "target": target, "label": label} for number, target, label in aims if target]
        if found:
            connection.execute(mark, found)


def downgrade() -> None:
    raise NotImplementedError(
        "The rows can be made again from the bees: start with an empty database instead."
    )
