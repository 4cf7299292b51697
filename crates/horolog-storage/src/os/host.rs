//! Which machine this is, and which of its lives.

/// The name of this host; empty where it cannot be known.
#[must_use]
pub fn host_name() -> String {
    #[cfg(unix)]
    return rustix::system::uname().nodename().to_string_lossy().into_owned();
    #[cfg(not(unix))]
    return std::env::var("COMPUTERNAME").unwrap_or_default();
}

/// A number that changes with every start of the system: Linux' `boot_id`, 0 where there is none.
///
/// Two readings of a clock that counts from the start of the system may be compared only if this is the same.
#[must_use]
pub fn boot_id() -> u128 {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok().and_then(|text| parse(&text)).unwrap_or(0)
}

/// A UUID in its usual form.
fn parse(text: &str) -> Option<u128> {
    let digits: String = text.trim().chars().filter(|c| *c != '-').collect();
    u128::from_str_radix(&digits, 16).ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_boot_id_is_the_number_in_the_uuid() {
        let parsed = super::parse("0f0e0d0c-0b0a-0908-0706-050403020100\n");
        assert_eq!(parsed, Some(0x0f0e_0d0c_0b0a_0908_0706_0504_0302_0100));
        assert_eq!(super::parse("not a uuid"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn linux_names_this_boot_and_this_host() {
        assert_ne!(super::boot_id(), 0);
        assert!(!super::host_name().is_empty());
    }
}
