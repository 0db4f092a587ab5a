//! Runs a device without std and without an allocator.
//!
//! That it builds is the proof: a crate that pulls in `std` brings a second panic handler, and one that pulls in `alloc` asks
//! for a global allocator; there is room for neither.
#![no_std]

use core::panic::PanicInfo;

use firmware_sim::{Acked, Backoff, Counter, FixedDevice, Keep, renewal_ms};
use sealgate_envelope::{DeviceId, DeviceKey, Key};

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}

/// The length of a message that was sealed, sent and acknowledged, or 0.
#[unsafe(no_mangle)]
pub extern "C" fn seal_send_and_forget(boot_count: u32, now_ms: i64) -> usize {
    let Ok(id) = "pump".parse::<DeviceId>() else { return 0 };
    let Ok(counter) = Counter::at_boot(boot_count) else { return 0 };
    let mut device = FixedDevice::<4, 128>::new(id, Key::new(&DeviceKey::from([7; 32])), 1, counter);
    if device.seal_reading(Some(now_ms), 42, b"21.5").is_err() {
        return 0;
    }
    let Some(publish) = device.poll_publish() else { return 0 };
    let packet_id = publish.packet_id;
    match device.handle_ack(packet_id, 0) {
        Some(Acked::Dropped(bytes)) => bytes.len(),
        _ => 0,
    }
}

/// How many messages a receipt has named, or -1 if it is not believed.
#[unsafe(no_mangle)]
pub extern "C" fn seal_send_and_be_told(receipt: &[u8; 256]) -> i32 {
    let Ok(id) = "pump".parse::<DeviceId>() else { return -1 };
    let Ok(counter) = Counter::at_boot(1) else { return -1 };
    let device = FixedDevice::<4, 128>::new(id, Key::new(&DeviceKey::from([7; 32])), 1, counter);
    let mut device = device.keeping(Keep::UntilReceipt { patience_ms: 10_000 });
    if device.seal_reading(None, 42, b"21.5").is_err() || device.poll_publish().is_none() {
        return -1;
    }
    let mut named = 0;
    device.handle_receipt(receipt, |_| named += 1).map_or(-1, |()| named)
}

/// When to come back, and when to renew.
#[unsafe(no_mangle)]
pub extern "C" fn pauses(random: u32) -> u32 {
    Backoff::new(100, 30_000).pause_ms(random) + renewal_ms(3_600_000, random)
}
