//! RSA keys that no one should trust: too short, a bad exponent, or made by the broken Infineon generator.

/// The primes whose residues give a ROCA key away (CVE-2017-15361).
const MARKERS: [u16; 38] = [
    3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103,
    107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
];

/// Whether the key must not be used. Values are big-endian.
pub(super) fn of_rsa(modulus: &[u8], exponent: &[u8]) -> bool {
    let bits = bit_length(modulus);
    let is_odd = |number: &[u8]| number.last().is_some_and(|byte| byte & 1 == 1);
    let is_exponent_bad = !(2..=32).contains(&bit_length(exponent)) || !is_odd(exponent);
    !(2_048..=8_192).contains(&bits) || !is_odd(modulus) || is_exponent_bad || is_roca(modulus)
}

fn bit_length(number: &[u8]) -> usize {
    let significant = number.iter().skip_while(|byte| **byte == 0);
    significant.clone().next().map_or(0, |first| significant.count() * 8 - first.leading_zeros() as usize)
}

/// The broken generator makes primes that are powers of 65537 modulo every small prime, and so is their product.
fn is_roca(modulus: &[u8]) -> bool {
    MARKERS.iter().all(|&prime| {
        let prime = u32::from(prime);
        let residue = modulus.iter().fold(0_u32, |rest, byte| (rest * 256 + u32::from(*byte)) % prime);
        let mut power = 1;
        (0..prime).any(|_| {
            power = power * (65_537 % prime) % prime;
            power == residue
        })
    })
}

#[cfg(test)]
mod tests {
    use super::{bit_length, of_rsa};

    #[test]
    fn short_even_and_small_exponent_keys_are_weak() {
        let mut modulus = vec![0xb7; 256];
        assert!(!of_rsa(&modulus, &[1, 0, 1]));
        assert!(!of_rsa(&[&[0][..], &modulus].concat(), &[1, 0, 1]));
        assert!(of_rsa(&modulus, &[1]), "exponent one");
        assert!(of_rsa(&modulus, &[1, 0, 0]), "even exponent");
        assert!(of_rsa(&modulus, &[]), "no exponent");
        assert!(of_rsa(&modulus[1..], &[1, 0, 1]), "2040 bits");
        assert!(of_rsa(&[], &[1, 0, 1]), "no modulus");
        modulus[255] = 2;
        assert!(of_rsa(&modulus, &[1, 0, 1]), "even modulus");
    }

    #[test]
    fn bits_are_counted_without_leading_zeros() {
        assert_eq!(bit_length(&[0, 0, 1]), 1);
        assert_eq!(bit_length(&[0x80, 0]), 16);
        assert_eq!(bit_length(&[]), 0);
    }
}
