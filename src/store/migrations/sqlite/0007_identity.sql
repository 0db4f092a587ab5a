-- What was done, by whom and from where: logins, tokens, and each change of devices, services, clients and keys. It only grows; what is
-- older than `audit_horizon` alone may be taken away. Times are Unix ms.
CREATE TABLE audit (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    at      INTEGER NOT NULL,
    who     TEXT NOT NULL,
    origin  TEXT NOT NULL,
    action  TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail  TEXT NOT NULL
) STRICT;
CREATE INDEX audit_by_subject ON audit (subject, id);
CREATE INDEX audit_by_time ON audit (at);
INSERT INTO meta VALUES ('audit_horizon', 0);

CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit BEGIN
    SELECT RAISE(ABORT, 'the audit log only grows');
END;
CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit
WHEN OLD.at >= (SELECT value FROM meta WHERE key = 'audit_horizon') BEGIN
    SELECT RAISE(ABORT, 'the audit log only grows');
END;

-- Who makes the changes of this transaction: written at its begin and gone at its end. Whoever changes a table by hand is 'sql'.
CREATE TABLE acting (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    who    TEXT NOT NULL,
    origin TEXT NOT NULL
) STRICT;
-- What a trigger enters: all but the action, the subject and the detail is the same for all of them.
CREATE VIEW audit_now AS SELECT
    CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) AS at,
    coalesce((SELECT who FROM acting), 'sql') AS who,
    coalesce((SELECT origin FROM acting), '') AS origin;

CREATE TRIGGER device_added_is_entered AFTER INSERT ON devices BEGIN
    INSERT INTO audit (at, who, origin, action, subject, detail)
    SELECT at, who, origin, 'device_added', NEW.device_id, coalesce(NEW.device_group, '') FROM audit_now;
END;
CREATE TRIGGER device_removed_is_entered AFTER DELETE ON devices BEGIN
    INSERT INTO audit (at, who, origin, action, subject, detail)
    SELECT at, who, origin, 'device_removed', OLD.device_id, '' FROM audit_now;
END;
CREATE TRIGGER device_state_is_entered AFTER UPDATE OF state ON devices WHEN NEW.state IS NOT OLD.state BEGIN
    INSERT INTO audit (at, who, origin, action, subject, detail)
    SELECT at, who, origin, 'device_' || NEW.state, NEW.device_id, '' FROM audit_now;
END;
CREATE TRIGGER device_group_is_entered AFTER UPDATE OF device_group ON devices
WHEN NEW.device_group IS NOT OLD.device_group BEGIN
    INSERT INTO audit (at, who, origin, action, subject, detail)
    SELECT at, who, origin, 'device_grouped', NEW.device_id, coalesce(NEW.device_group, '') FROM audit_now;
END;
CREATE TRIGGER device_keys_are_entered AFTER UPDATE OF key_version_min ON devices
WHEN NEW.key_version_min IS NOT OLD.key_version_min BEGIN
    INSERT INTO audit (at, who, origin, action, subject, detail)
    SELECT at, who, origin, 'device_keys', NEW.device_id, 'lowest ' || NEW.key_version_min FROM audit_now;
END;
CREATE TRIGGER service_added_is_entered AFTER INSERT ON services BEGIN
    INSERT INTO audit (at, who, origin, action, subject, detail)
    SELECT at, who, origin, 'service_added', NEW.name, NEW.scopes FROM audit_now;
END;
CREATE TRIGGER service_removed_is_entered AFTER DELETE ON services BEGIN
    INSERT INTO audit (at, who, origin, action, subject, detail)
    SELECT at, who, origin, 'service_removed', OLD.name, '' FROM audit_now;
END;
CREATE TRIGGER service_state_is_entered AFTER UPDATE OF state ON services WHEN NEW.state IS NOT OLD.state BEGIN
    INSERT INTO audit (at, who, origin, action, subject, detail)
    SELECT at, who, origin, 'service_' || NEW.state, NEW.name, '' FROM audit_now;
END;
CREATE TRIGGER service_scopes_are_entered AFTER UPDATE OF scopes ON services WHEN NEW.scopes IS NOT OLD.scopes BEGIN
    INSERT INTO audit (at, who, origin, action, subject, detail)
    SELECT at, who, origin, 'service_scopes', NEW.name, NEW.scopes FROM audit_now;
END;
-- A client comes and goes with its holder; that it became another is entered.
CREATE TRIGGER client_changed_is_entered AFTER UPDATE ON clients BEGIN
    INSERT INTO audit (at, who, origin, action, subject, detail)
    SELECT at, who, origin, 'client_changed', coalesce(NEW.device_id, NEW.service), NEW.client_id FROM audit_now;
END;
CREATE TRIGGER signing_key_added_is_entered AFTER INSERT ON signing_key BEGIN
    INSERT INTO audit (at, who, origin, action, subject, detail)
    SELECT at, who, origin, 'signing_key_added', NEW.kid, '' FROM audit_now;
END;
CREATE TRIGGER signing_key_removed_is_entered AFTER DELETE ON signing_key BEGIN
    INSERT INTO audit (at, who, origin, action, subject, detail)
    SELECT at, who, origin, 'signing_key_removed', OLD.kid, '' FROM audit_now;
END;

-- A key signs from a time on, so that those who verify have it before; and it verifies until a time: null, none is set.
ALTER TABLE signing_key ADD COLUMN signs_from INTEGER;
ALTER TABLE signing_key ADD COLUMN ends_at INTEGER;
CREATE TRIGGER signing_key_ends_is_entered AFTER UPDATE OF ends_at ON signing_key WHEN NEW.ends_at IS NOT OLD.ends_at BEGIN
    INSERT INTO audit (at, who, origin, action, subject, detail)
    SELECT at, who, origin, 'signing_key_ends', NEW.kid, strftime('%Y-%m-%dT%H:%M:%SZ', NEW.ends_at / 1000, 'unixepoch')
    FROM audit_now;
END;
-- Grows with each change of what tokens rest on, so that gateways look at it again. It is not the registry's: who the devices are has not
-- changed.
INSERT INTO meta VALUES ('identity_version', 0);
CREATE TRIGGER signing_key_added AFTER INSERT ON signing_key BEGIN
    UPDATE meta SET value = value + 1 WHERE key = 'identity_version';
END;
CREATE TRIGGER signing_key_changed AFTER UPDATE ON signing_key BEGIN
    UPDATE meta SET value = value + 1 WHERE key = 'identity_version';
END;
CREATE TRIGGER signing_key_removed AFTER DELETE ON signing_key BEGIN
    UPDATE meta SET value = value + 1 WHERE key = 'identity_version';
END;

-- Access tokens of ours that were taken back before their end; after it they may go.
CREATE TABLE revoked_tokens (
    jti        TEXT PRIMARY KEY,
    subject    TEXT NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TRIGGER token_revoked_is_entered AFTER INSERT ON revoked_tokens BEGIN
    INSERT INTO audit (at, who, origin, action, subject, detail)
    SELECT at, who, origin, 'token_revoked', NEW.subject, NEW.jti FROM audit_now;
END;
CREATE TRIGGER token_revoked AFTER INSERT ON revoked_tokens BEGIN
    UPDATE meta SET value = value + 1 WHERE key = 'identity_version';
END;

-- The public keys (a JWK set) of a client that proves who it is with a private one. Its secret is nobody's then.
ALTER TABLE clients ADD COLUMN public_keys TEXT;
