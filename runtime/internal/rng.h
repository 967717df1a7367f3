// Rng: a small seeded generator for jitter, balancing and simulation. Not for secrets.
//
// Source: xoshiro256** by Blackman and Vigna (public domain algorithm), seeded with splitmix64.
#ifndef GYRE_RUNTIME_INTERNAL_RNG_H_
#define GYRE_RUNTIME_INTERNAL_RNG_H_

#include <bit>
#include <cstdint>

namespace gyre::internal {

class Rng {
 public:
  explicit Rng(uint64_t seed) {
    for (uint64_t& word : state_) {
      seed += 0x9E3779B97F4A7C15;
      uint64_t z = seed;
      z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
      z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
      word = z ^ (z >> 31);
    }
  }

  uint64_t Next() {
    const uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
    const uint64_t t = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= t;
    state_[3] = std::rotl(state_[3], 45);
    return result;
  }

  // 0 .. limit - 1; limit > 0. The bias is below limit / 2^64.
  uint64_t Below(uint64_t limit) {
    return static_cast<uint64_t>((static_cast<unsigned __int128>(Next()) * limit) >> 64);
  }
  // True `numerator` times in `denominator`.
  bool Chance(uint64_t numerator, uint64_t denominator) { return Below(denominator) < numerator; }

 private:
  uint64_t state_[4];
};

}  // namespace gyre::internal

#endif  // GYRE_RUNTIME_INTERNAL_RNG_H_
