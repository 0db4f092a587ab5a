-- Whose tokens a device or a service logs in with. Null: those of this gateway's own issuer.
ALTER TABLE devices ADD COLUMN issuer TEXT;
ALTER TABLE services ADD COLUMN issuer TEXT;
CREATE TRIGGER device_issuer_is_entered AFTER UPDATE OF issuer ON devices WHEN NEW.issuer IS NOT OLD.issuer BEGIN
    INSERT INTO audit (at, who, origin, action, subject, detail)
    SELECT at, who, origin, 'device_issuer', NEW.device_id, coalesce(NEW.issuer, '') FROM audit_now;
END;
CREATE TRIGGER service_issuer_is_entered AFTER UPDATE OF issuer ON services WHEN NEW.issuer IS NOT OLD.issuer BEGIN
    INSERT INTO audit (at, who, origin, action, subject, detail)
    SELECT at, who, origin, 'service_issuer', NEW.name, coalesce(NEW.issuer, '') FROM audit_now;
END;
