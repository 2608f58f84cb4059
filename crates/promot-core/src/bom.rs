//! The mark that some editors put before UTF-8 text.

/// The byte order mark, which says nothing of UTF-8: its bytes have one order.
pub const BYTE_ORDER_MARK: &str = "\u{feff}";

/// A file's bytes without a byte order mark at their beginning, for readers that want text and nothing else.
///
/// ```
/// assert_eq!(promot_core::without_bom(b"\xef\xbb\xbf{}"), b"{}");
/// assert_eq!(promot_core::without_bom(b"{}"), b"{}");
/// ```
pub fn without_bom(bytes: &[u8]) -> &[u8] {
    bytes
        .strip_prefix(BYTE_ORDER_MARK.as_bytes())
        .unwrap_or(bytes)
}
