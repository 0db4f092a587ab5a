//! SQLite.
use super::*;

#[derive(Clone)]
pub(super) struct Sqlite {}

impl Sqlite {
    pub(super) async fn open(_config: &Config) -> Result<Sqlite, OpenError> {
        Ok(Sqlite {})
    }
    pub(super) async fn close(self) {}
    pub(super) async fn add_device(&self, _device: &NewDevice) -> Result<Device, AddError> {
        unreachable!("not there yet")
    }
    pub(super) async fn device(&self, _device_id: &str) -> Result<Option<Device>, StoreError> {
        unreachable!("not there yet")
    }
    pub(super) async fn devices(&self, _after: Option<&str>, _limit: u32) -> Result<Vec<Device>, StoreError> {
        unreachable!("not there yet")
    }
    pub(super) async fn set_device_state(&self, _device_id: &str, _state: State) -> Result<Found, StoreError> {
        unreachable!("not there yet")
    }
    pub(super) async fn add_service(&self, _service: &NewService) -> Result<Service, AddError> {
        unreachable!("not there yet")
    }
    pub(super) async fn service(&self, _name: &str) -> Result<Option<Service>, StoreError> {
        unreachable!("not there yet")
    }
    pub(super) async fn services(&self, _after: Option<&str>, _limit: u32) -> Result<Vec<Service>, StoreError> {
        unreachable!("not there yet")
    }
    pub(super) async fn set_service_state(&self, _name: &str, _state: State) -> Result<Found, StoreError> {
        unreachable!("not there yet")
    }
    pub(super) async fn client(&self, _client_id: &str) -> Result<Option<Client>, StoreError> {
        unreachable!("not there yet")
    }
    pub(super) async fn registry_version(&self) -> Result<i64, StoreError> {
        unreachable!("not there yet")
    }
    pub(super) async fn signing_keys(&self) -> Result<Vec<SealedSigningKey>, StoreError> {
        unreachable!("not there yet")
    }
    pub(super) async fn add_signing_key(&self, _key: &SealedSigningKey) -> Result<(), AddError> {
        unreachable!("not there yet")
    }
    pub(super) async fn add_first_signing_key(&self, _key: &SealedSigningKey) -> Result<Added, StoreError> {
        unreachable!("not there yet")
    }
    pub(super) async fn master_key_check(&self) -> Result<Option<[u8; 32]>, StoreError> {
        unreachable!("not there yet")
    }
    pub(super) async fn set_master_key_check(&self, _check: &[u8; 32]) -> Result<Added, StoreError> {
        unreachable!("not there yet")
    }
    pub(super) async fn commit(&self, _batch: &[Entry]) -> Result<Vec<Outcome>, CommitError> {
        unreachable!("not there yet")
    }
    pub(super) async fn find_seen(&self, _seen: &Seen) -> Result<bool, StoreError> {
        unreachable!("not there yet")
    }
    pub(super) async fn quarantine_usage(&self) -> Result<Usage, StoreError> {
        unreachable!("not there yet")
    }
    pub(super) fn quarantine_looks_full(&self) -> bool {
        unreachable!("not there yet")
    }
}
