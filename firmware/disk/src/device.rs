//! What is read and written: a disk, a partition, a file.

/// A block device, or a file in place of one. Whole sectors of 512 bytes are written at once or not at all.
pub trait Device {
    /// What can go wrong.
    type Error;

    /// Its size in bytes.
    fn bytes(&self) -> u64;

    /// Fills `into` from byte `at` on.
    ///
    /// # Errors
    /// The device's; also when it ends before.
    fn read(&mut self, at: u64, into: &mut [u8]) -> Result<(), Self::Error>;

    /// Writes all of `bytes` from byte `at` on. Not durable before [`Device::flush`].
    ///
    /// # Errors
    /// The device's; also when it ends before.
    fn write(&mut self, at: u64, bytes: &[u8]) -> Result<(), Self::Error>;

    /// Everything that was written is durable when it returns.
    ///
    /// # Errors
    /// The device's.
    fn flush(&mut self) -> Result<(), Self::Error>;
}
