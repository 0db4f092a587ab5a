//! `sealgate device rotate`: one device comes by another seal key, while both open.

use anyhow::anyhow;
use sealgate_envelope::DeviceId;

use crate::cli::keys::make_another;
use crate::cli::{Done, Exit, Failure, output};
use crate::config::Config;
use crate::gateway::Cellar;
use crate::store::Device;

/// Sees to it that there is a version above those that the device has, and says what comes next.
pub(super) async fn begin(config: &Config, cellar: &Cellar, id: &DeviceId) -> Done {
    let device = known(cellar, id).await?;
    let used = cellar.store.newest_key_version_used(id.as_str()).await?.unwrap_or(0);
    let newest = cellar.masters.newest();
    let version = match newest > used.max(device.key_version_min) {
        true => newest,
        false => match make_another(config, &cellar.masters)? {
            Some(version) => version,
            None => return Ok(Exit::Done),
        },
    };
    output::line(&format!(
        "device {id} may have version {version} now; what it seals with version {} opens too.\n\
         It fetches its key with its access token: GET {}?version={version}\n\
         Once it has used it: sealgate device rotate {id} --finish",
        used.max(device.key_version_min),
        config.auth.identifier.endpoint("/enrol/seal-key"),
    ))?;
    Ok(Exit::Done)
}

/// Refuses the device's older versions, if it has used the newest one or that does not matter.
pub(super) async fn finish(cellar: &Cellar, id: &DeviceId, even_if_unused: bool) -> Done {
    let device = known(cellar, id).await?;
    let used = cellar.store.newest_key_version_used(id.as_str()).await?.unwrap_or(0);
    let version = cellar.masters.newest();
    if version == device.key_version_min {
        return Err(
            anyhow!("device {id} has nothing but version {version}: `sealgate device rotate {id}` first").into()
        );
    }
    if used < version && !even_if_unused {
        return Err(anyhow!(
            "device {id} has not used version {version} yet, and what it sends would be refused from now on; --even-if-unused does it all the same"
        )
        .into());
    }
    cellar.store.raise_key_version(id.as_str(), version).await?;
    output::line(&format!(
        "device {id} has version {version} alone; what it sealed with older ones is refused as unknown_key"
    ))?;
    Ok(Exit::Done)
}

async fn known(cellar: &Cellar, id: &DeviceId) -> Result<Device, Failure> {
    Ok(cellar.store.device(id.as_str()).await?.ok_or_else(|| anyhow!("there is no device {id}"))?)
}
