// must fail on clang: call to deleted member function 'Send'
// must fail on gcc: use of deleted function 'void gyre::TcpStream::Send(T&&)
#include <string>

#include "gyre/io/tcp_stream.h"

auto Caller(gyre::TcpStream& peer) { return peer.Send(std::string("gone before it is sent")); }
