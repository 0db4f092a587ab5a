//! Processes that are measured: started, asked for their processor time, and ended with whoever holds them.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// How long anything may take to start or to end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The kernel tells times in this unit, whatever its own clock is (proc(5), USER_HZ, 100 on every platform that runs this).
const TICK: Duration = Duration::from_millis(10);

/// A process that is killed when it is dropped.
pub(crate) struct Process(pub(crate) Child);

impl Process {
    pub(crate) fn start(command: &mut Command) -> io::Result<Process> {
        command.stdin(Stdio::null()).spawn().map(Process)
    }

    /// Processor time of all its threads, also of those that have ended, in user and in kernel mode.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        cpu_of(self.0.id())
    }

    /// Processor time of the threads that it has now, to the nanosecond.
    pub(crate) fn thread_cpu(&self) -> Result<Duration> {
        self.thread_cpu_of(|_| true)
    }

    /// The same of those that have such a name, of which the kernel keeps 15 bytes.
    pub(crate) fn thread_cpu_of(&self, is_meant: impl Fn(&str) -> bool) -> Result<Duration> {
        let mut sum = Duration::ZERO;
        for thread in fs::read_dir(format!("/proc/{}/task", self.0.id()))? {
            let thread = thread?.path();
            // One that ends meanwhile has no time any more.
            let Ok(name) = fs::read_to_string(thread.join("comm")) else { continue };
            let Ok(schedstat) = fs::read_to_string(thread.join("schedstat")) else { continue };
            if is_meant(name.trim_end()) {
                sum += on_processor(&schedstat)?;
            }
        }
        Ok(sum)
    }

    /// Memory that it has in RAM.
    pub(crate) fn memory(&self) -> Result<Memory> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let bytes = |name: &str| -> Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib: u64 =
                line.and_then(|line| line.split_whitespace().next()).context("a process has memory")?.parse()?;
            Ok(kib * 1024)
        };
        Ok(Memory { resident: bytes("VmRSS:")?, peak: bytes("VmHWM:")? })
    }

    /// Waits until it listens.
    pub(crate) fn wait_for(&mut self, address: SocketAddr) -> Result<()> {
        let deadline = now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            if let Some(status) = self.0.try_wait()? {
                bail!("it ended at once: {status}");
            }
            if now() > deadline {
                bail!("it does not listen on {address}");
            }
            sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

/// In bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    pub(crate) resident: u64,
    /// The most that it had since it was started.
    pub(crate) peak: u64,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A directory that goes with whoever holds it.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// On the file system where the build is: `/tmp` may be memory, where a sync costs nothing.
    pub(crate) fn new(bench: &str, name: &str) -> Result<Scratch> {
        Scratch::within(Path::new(env!("CARGO_TARGET_TMPDIR")), bench, name)
    }

    /// In a folder that is there.
    pub(crate) fn within(folder: &Path, bench: &str, name: &str) -> Result<Scratch> {
        let path = fs::canonicalize(folder)?.join(format!("{bench}-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path)?;
        Ok(Scratch(path))
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

/// Processor time of a process, also of its threads that have ended, in user and in kernel mode.
pub(crate) fn cpu_of(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in brackets, may hold anything; utime and stime are the 14th and 15th field of all.
    let (_, fields) = stat.rsplit_once(')').context("a process has a name")?;
    let ticks: Vec<u32> = fields.split_whitespace().skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
    Ok(TICK * ticks.iter().sum())
}

/// Processor time of the calling thread.
pub(crate) fn thread_cpu() -> Result<Duration> {
    on_processor(&fs::read_to_string("/proc/thread-self/schedstat")?)
}

/// The first field of a thread's `schedstat`, in nanoseconds.
fn on_processor(schedstat: &str) -> Result<Duration> {
    let nanos = schedstat.split(' ').next().context("schedstat begins with a time")?.parse()?;
    Ok(Duration::from_nanos(nanos))
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
