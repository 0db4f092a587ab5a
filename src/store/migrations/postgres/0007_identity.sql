-- What was done, by whom and from where: logins, tokens, and each change of devices, services, clients and keys. It only grows; what is
-- older than `audit_horizon` alone may be taken away.
CREATE TABLE audit (
    id      bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    at      timestamptz NOT NULL,
    who     text COLLATE "C" NOT NULL,
    origin  text COLLATE "C" NOT NULL,
    action  text COLLATE "C" NOT NULL,
    subject text COLLATE "C" NOT NULL,
    detail  text NOT NULL
);
CREATE INDEX audit_by_subject ON audit (subject, id);
CREATE INDEX audit_by_time ON audit (at);
INSERT INTO meta (key, number) VALUES ('audit_horizon', 0);

CREATE FUNCTION audit_only_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND to_ms(OLD.at) < (SELECT number FROM meta WHERE key = 'audit_horizon') THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'the audit log only grows';
END $$;
CREATE TRIGGER audit_only_grows BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION audit_only_grows();
CREATE TRIGGER audit_is_not_emptied BEFORE TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION audit_only_grows();

-- A transaction says who makes its changes (`set_config`, local to it). Whoever changes a table by hand is 'sql' and the role.
CREATE FUNCTION enter(action text, subject text, detail text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    acting text := nullif(current_setting('sealgate.who', true), '');
BEGIN
    INSERT INTO audit (at, who, origin, action, subject, detail) VALUES (
        clock_timestamp(),
        coalesce(acting, 'sql:' || session_user),
        CASE WHEN acting IS NULL THEN coalesce(host(inet_client_addr()), '') ELSE current_setting('sealgate.origin', true) END,
        action, subject, coalesce(detail, '')
    );
END $$;

CREATE FUNCTION device_is_entered() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM enter('device_added', NEW.device_id, NEW.device_group);
    ELSIF TG_OP = 'DELETE' THEN
        PERFORM enter('device_removed', OLD.device_id, '');
    ELSE
        IF NEW.state IS DISTINCT FROM OLD.state THEN
            PERFORM enter('device_' || NEW.state, NEW.device_id, '');
        END IF;
        IF NEW.device_group IS DISTINCT FROM OLD.device_group THEN
            PERFORM enter('device_grouped', NEW.device_id, NEW.device_group);
        END IF;
        IF NEW.key_version_min IS DISTINCT FROM OLD.key_version_min THEN
            PERFORM enter('device_keys', NEW.device_id, 'lowest ' || NEW.key_version_min);
        END IF;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER device_is_entered AFTER INSERT OR UPDATE OR DELETE ON devices
    FOR EACH ROW EXECUTE FUNCTION device_is_entered();

CREATE FUNCTION service_is_entered() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM enter('service_added', NEW.name, NEW.scopes);
    ELSIF TG_OP = 'DELETE' THEN
        PERFORM enter('service_removed', OLD.name, '');
    ELSE
        IF NEW.state IS DISTINCT FROM OLD.state THEN
            PERFORM enter('service_' || NEW.state, NEW.name, '');
        END IF;
        IF NEW.scopes IS DISTINCT FROM OLD.scopes THEN
            PERFORM enter('service_scopes', NEW.name, NEW.scopes);
        END IF;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER service_is_entered AFTER INSERT OR UPDATE OR DELETE ON services
    FOR EACH ROW EXECUTE FUNCTION service_is_entered();

-- A client comes and goes with its holder; that it became another is entered.
CREATE FUNCTION client_is_entered() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM enter('client_changed', coalesce(NEW.device_id, NEW.service), NEW.client_id);
    RETURN NULL;
END $$;
CREATE TRIGGER client_is_entered AFTER UPDATE ON clients FOR EACH ROW EXECUTE FUNCTION client_is_entered();

CREATE FUNCTION signing_key_is_entered() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM enter('signing_key_added', NEW.kid, '');
    ELSE
        PERFORM enter('signing_key_removed', OLD.kid, '');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER signing_key_is_entered AFTER INSERT OR DELETE ON signing_key
    FOR EACH ROW EXECUTE FUNCTION signing_key_is_entered();

-- A key signs from a time on, so that those who verify have it before; and it verifies until a time: null, none is set.
ALTER TABLE signing_key ADD COLUMN signs_from timestamptz;
ALTER TABLE signing_key ADD COLUMN ends_at timestamptz;
CREATE FUNCTION signing_key_ends_is_entered() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM enter('signing_key_ends', NEW.kid, to_char(NEW.ends_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'));
    RETURN NULL;
END $$;
CREATE TRIGGER signing_key_ends_is_entered AFTER UPDATE OF ends_at ON signing_key FOR EACH ROW
    WHEN (NEW.ends_at IS DISTINCT FROM OLD.ends_at) EXECUTE FUNCTION signing_key_ends_is_entered();
-- Grows with each change of what tokens rest on, so that gateways look at it again. It is not the registry's: who the devices are has not
-- changed.
INSERT INTO meta (key, number) VALUES ('identity_version', 0);
CREATE FUNCTION identity_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE meta SET number = number + 1 WHERE key = 'identity_version';
    RETURN NULL;
END $$;
CREATE TRIGGER identity_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON signing_key
    FOR EACH STATEMENT EXECUTE FUNCTION identity_changed();

-- Access tokens of ours that were taken back before their end; after it they may go.
CREATE TABLE revoked_tokens (
    jti        text COLLATE "C" PRIMARY KEY,
    subject    text COLLATE "C" NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE FUNCTION token_revoked_is_entered() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM enter('token_revoked', NEW.subject, NEW.jti);
    RETURN NULL;
END $$;
CREATE TRIGGER token_revoked_is_entered AFTER INSERT ON revoked_tokens
    FOR EACH ROW EXECUTE FUNCTION token_revoked_is_entered();
CREATE TRIGGER identity_changed AFTER INSERT ON revoked_tokens
    FOR EACH STATEMENT EXECUTE FUNCTION identity_changed();

-- The public keys (a JWK set) of a client that proves who it is with a private one. Its secret is nobody's then.
ALTER TABLE clients ADD COLUMN public_keys text;
