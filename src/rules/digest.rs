//! SHA-256, for the change `hash`: who knows a value finds what became of it, with any tool, and two processes agree.
//!
//! Does not know what is hashed. No secret is in it: values that can be guessed can be found again.
//! Source: FIPS 180-4.

const fn primes<const N: usize>() -> [u64; N] {
    let (mut primes, mut count, mut number) = ([0; N], 0, 2u64);
    while count < N {
        let (mut divisor, mut is_prime) = (2, true);
        while divisor * divisor <= number {
            if number % divisor == 0 {
                is_prime = false;
            }
            divisor += 1;
        }
        if is_prime {
            primes[count] = number;
            count += 1;
        }
        number += 1;
    }
    primes
}

/// The first 32 bits behind the point of a prime's root of this degree.
const fn root_fraction(prime: u64, degree: u32) -> u32 {
    // the largest r with r^degree ≤ prime · 2^(32 · degree), bit by bit
    let target = (prime as u128) << (32 * degree);
    let (mut root, mut bit) = (0u128, 1u128 << 36);
    while bit > 0 {
        let tried = root | bit;
        let power = if degree == 2 { tried * tried } else { tried * tried * tried };
        if power <= target {
            root = tried;
        }
        bit >>= 1;
    }
    root as u32
}

const fn roots<const N: usize>(degree: u32) -> [u32; N] {
    let (primes, mut roots, mut at) = (primes::<N>(), [0; N], 0);
    while at < N {
        roots[at] = root_fraction(primes[at], degree);
        at += 1;
    }
    roots
}

const ROUNDS: [u32; 64] = roots(3);
const START: [u32; 8] = roots(2);

fn block(state: &mut [u32; 8], block: &[u8]) {
    let mut words = [0u32; 64];
    for (word, bytes) in words.iter_mut().zip(block.chunks_exact(4)) {
        *word = bytes.iter().fold(0, |word, byte| word << 8 | u32::from(*byte));
    }
    for at in 16..64 {
        let (early, late) = (words[at - 15], words[at - 2]);
        let early = early.rotate_right(7) ^ early.rotate_right(18) ^ early >> 3;
        let late = late.rotate_right(17) ^ late.rotate_right(19) ^ late >> 10;
        words[at] = words[at - 16].wrapping_add(early).wrapping_add(words[at - 7]).wrapping_add(late);
    }
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
    for (word, round) in words.into_iter().zip(ROUNDS) {
        let mixed = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
        let chosen = e & f ^ !e & g;
        let first = h.wrapping_add(mixed).wrapping_add(chosen).wrapping_add(round).wrapping_add(word);
        let mixed = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
        let second = mixed.wrapping_add(a & b ^ a & c ^ b & c);
        (h, g, f, e, d, c, b, a) = (g, f, e, d.wrapping_add(first), c, b, a, first.wrapping_add(second));
    }
    for (total, word) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
        *total = total.wrapping_add(word);
    }
}

/// The digest.
pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut state = START;
    let whole = bytes.chunks_exact(64);
    let mut last = whole.remainder().to_vec();
    whole.for_each(|bytes| block(&mut state, bytes));
    last.push(0x80);
    last.resize(if last.len() > 56 { 120 } else { 56 }, 0);
    last.extend_from_slice(&(bytes.len() as u64 * 8).to_be_bytes());
    last.chunks_exact(64).for_each(|bytes| block(&mut state, bytes));
    let mut digest = [0; 32];
    digest.chunks_exact_mut(4).zip(state).for_each(|(bytes, word)| bytes.copy_from_slice(&word.to_be_bytes()));
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        sha256(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// FIPS 180-4's examples, and lengths around the edge of a block.
    #[test]
    fn digests_are_those_of_the_standard() {
        assert_eq!((ROUNDS[0], ROUNDS[63], START[0]), (0x428a_2f98, 0xc671_78f2, 0x6a09_e667));
        assert_eq!(hex(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(hex(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        let long = b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
        assert_eq!(hex(long), "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
        let million = vec![b'a'; 1_000_000];
        assert_eq!(hex(&million), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    }
}
