#include "runtime/task.h"

#include <cctype>

namespace shout {

std::string Task::Run() const {
  std::string loud = line_ + "!";
  for (char& letter : loud) letter = static_cast<char>(std::toupper(static_cast<unsigned char>(letter)));
  return loud;
}

}  // namespace shout
