//! Seals and opens without std and without an allocator.
//!
//! That it builds is the proof: a crate that pulls in `std` brings a second panic handler, and one that pulls in `alloc` asks
//! for a global allocator; there is room for neither.
#![no_std]

use core::panic::PanicInfo;

use sealgate_envelope::{
    Algorithm, DeviceId, Direction, Key, MasterKey, Message, Policy, Sealed, seal_frame,
};

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}

/// The counter of a frame that was sealed and opened, or 0.
#[unsafe(no_mangle)]
pub extern "C" fn frame_there_and_back(counter: u64) -> u64 {
    let Ok(device) = "pump".parse::<DeviceId>() else { return 0 };
    let key = Key::new(&MasterKey::from([7; 32]).device_key(&device));
    let mut out = [0; 256];
    match seal_frame(&mut out, &message(counter), &key, &device, Direction::FromDevice) {
        Ok(len) => opened(&out[..len], &key, &device),
        Err(_) => 0,
    }
}

/// The counter of a COSE_Mac0 that was sealed and opened, or 0.
#[cfg(feature = "cose")]
#[unsafe(no_mangle)]
pub extern "C" fn cose_there_and_back(counter: u64) -> u64 {
    let Ok(device) = "pump".parse::<DeviceId>() else { return 0 };
    let key = Key::new(&MasterKey::from([7; 32]).device_key(&device));
    let mut out = [0; 256];
    match sealgate_envelope::seal_cose(&mut out, &message(counter), &key, &device) {
        Ok(len) => opened(&out[..len], &key, &device),
        Err(_) => 0,
    }
}

fn message(counter: u64) -> Message<'static> {
    Message {
        algorithm: Algorithm::HmacSha256,
        key_version: 1,
        content_format: 42,
        counter,
        time_ms: None,
        payload: b"21.5",
    }
}

fn opened(bytes: &[u8], key: &Key, device: &DeviceId) -> u64 {
    let Ok(sealed) = Sealed::parse(bytes, &Policy::default()) else { return 0 };
    sealed.open(key, device, Direction::FromDevice).map_or(0, |_| sealed.header().counter)
}
