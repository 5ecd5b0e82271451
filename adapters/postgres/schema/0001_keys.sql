CREATE TABLE recapito_keys.tenants (
    tenant  text PRIMARY KEY,
    wrapped bytea NOT NULL
);

CREATE TABLE recapito_keys.secrets (
    name    text PRIMARY KEY,
    wrapped bytea NOT NULL
);

CREATE TABLE recapito_keys.routes (
    route        text NOT NULL,
    id           text NOT NULL,
    wrapped      bytea NOT NULL,
    expires_unix bigint NOT NULL,
    PRIMARY KEY (route, id)
);

-- An erased person has no key any more; the row stays, so that its id is not made again.
CREATE TABLE recapito_keys.persons (
    tenant  text NOT NULL,
    key_id  text COLLATE "C" NOT NULL,
    person  text NOT NULL,
    wrapped bytea,
    PRIMARY KEY (tenant, key_id)
);

-- A recipient id's person.
CREATE TABLE recapito_keys.recipients (
    tenant    text NOT NULL,
    hash      bytea NOT NULL,
    key_id    text COLLATE "C" NOT NULL,
    from_unix bigint NOT NULL,
    PRIMARY KEY (tenant, hash),
    FOREIGN KEY (tenant, key_id) REFERENCES recapito_keys.persons
);
CREATE INDEX recipients_of_person ON recapito_keys.recipients (tenant, key_id);

-- The persons that an address names. Kinds: commands.LinkKind (1 anonymous holder, 2 held, 3 mentioned).
CREATE TABLE recapito_keys.links (
    tenant    text NOT NULL,
    hash      bytea NOT NULL,
    kind      smallint NOT NULL CHECK (kind BETWEEN 1 AND 3),
    key_id    text COLLATE "C" NOT NULL,
    from_unix bigint NOT NULL,
    to_unix   bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant, key_id, hash),
    FOREIGN KEY (tenant, key_id) REFERENCES recapito_keys.persons
);
CREATE INDEX links_of_address ON recapito_keys.links (tenant, hash, kind, key_id);
CREATE UNIQUE INDEX one_anonymous_person ON recapito_keys.links (tenant, hash) WHERE kind = 1;
