-- Whose tokens a device or a service logs in with. Null: those of this gateway's own issuer.
ALTER TABLE devices ADD COLUMN issuer text COLLATE "C";
ALTER TABLE services ADD COLUMN issuer text COLLATE "C";
CREATE FUNCTION device_issuer_is_entered() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM enter('device_issuer', NEW.device_id, NEW.issuer);
    RETURN NULL;
END $$;
CREATE TRIGGER device_issuer_is_entered AFTER UPDATE OF issuer ON devices FOR EACH ROW
    WHEN (NEW.issuer IS DISTINCT FROM OLD.issuer) EXECUTE FUNCTION device_issuer_is_entered();
CREATE FUNCTION service_issuer_is_entered() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM enter('service_issuer', NEW.name, NEW.issuer);
    RETURN NULL;
END $$;
CREATE TRIGGER service_issuer_is_entered AFTER UPDATE OF issuer ON services FOR EACH ROW
    WHEN (NEW.issuer IS DISTINCT FROM OLD.issuer) EXECUTE FUNCTION service_issuer_is_entered();
