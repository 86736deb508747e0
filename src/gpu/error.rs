use thiserror::Error;

/// What can go wrong between the program and an adapter.
#[derive(Debug, Error)]
pub enum GpuError {
    /// No adapter answered.
    #[error("no GPU adapter was found (searched: {searched}). {hint}")]
    NoAdapter {
        /// The backends searched.
        searched: String,
        /// What to install on this system.
        hint: &'static str,
    },
    /// The user's choice names no adapter.
    #[error("no adapter matches '{wanted}'; there are: {available}")]
    NoSuchAdapter {
        /// The index or part of a name that was asked for.
        wanted: String,
        /// The adapters there are, with their indices.
        available: String,
    },
    /// The adapter lacks what every kernel needs.
    #[error("{adapter} offers {offered} {what}, but {needed} are needed; choose another adapter")]
    TooSmall {
        /// The adapter's name.
        adapter: String,
        /// The limit.
        what: &'static str,
        /// What the adapter offers.
        offered: u64,
        /// What is needed.
        needed: u64,
    },
    /// The device could not be opened.
    #[error("could not open {adapter}")]
    Request {
        /// The adapter's name.
        adapter: String,
        /// The backend's reason.
        #[source]
        source: wgpu::RequestDeviceError,
    },
    /// An allocation failed on the device.
    #[error(
        "{adapter} is out of memory while making {what} ({bytes} bytes); \
         try a smaller --micro-batch or --memory"
    )]
    OutOfMemory {
        /// The adapter's name.
        adapter: String,
        /// What was being made.
        what: String,
        /// Its size in bytes.
        bytes: u64,
    },
    /// The backend refused a call: a fault of this program or of the driver.
    #[error("{adapter} refused {what}: {message}")]
    Refused {
        /// The adapter's name.
        adapter: String,
        /// What was being done.
        what: String,
        /// The backend's message.
        message: String,
    },
    /// The device stopped answering.
    #[error("{adapter} was lost ({message}); the driver may have reset it")]
    Lost {
        /// The adapter's name.
        adapter: String,
        /// The backend's message.
        message: String,
    },
}
