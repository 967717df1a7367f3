#include "gyre/bench/throughput_placement.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gyre/bench/cpus.h"

namespace gyre::bench {

Placement PlaceFor(int loops) {
  const std::span<const int> cpus = UsableCpus();
  const auto count = static_cast<std::size_t>(loops);
  if (cpus.size() <= count) return {};
  return {cpus.first(count), cpus.subspan(count, 1)};
}

std::string DescribePlacement(int loops) {
  const Placement placement = PlaceFor(loops);
  const std::string who = loops == 1 ? "server" : absl::StrCat("server on ", loops, " loops");
  if (!placement.is_pinned()) {
    return absl::StrCat(who, " and load generator share ", UsableCpus().size(), " CPU(s): nothing is pinned");
  }
  return absl::StrCat(who, loops == 1 ? " on CPU " : ": CPU ", absl::StrJoin(placement.loops, ", "),
                      ", load generator on CPU ", placement.load.front());
}

}  // namespace gyre::bench
