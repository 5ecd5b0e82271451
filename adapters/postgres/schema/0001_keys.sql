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
    key_id  text NOT NULL,
    person  text NOT NULL,
    wrapped bytea,
    PRIMARY KEY (tenant, key_id)
);

CREATE TABLE recapito_keys.hashes (
    tenant text NOT NULL,
    hash   bytea NOT NULL,
    key_id text NOT NULL,
    PRIMARY KEY (tenant, hash),
    FOREIGN KEY (tenant, key_id) REFERENCES recapito_keys.persons
);
