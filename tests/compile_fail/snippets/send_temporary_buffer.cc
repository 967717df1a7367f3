// must fail on clang: call to deleted member function 'Send'
// must fail on gcc: use of deleted function 'void gyre::TcpStream::Send(T&&)
#include "gyre/io/tcp_stream.h"

auto Caller(gyre::TcpStream& peer, gyre::Buffer buffer) { return peer.Send(std::move(buffer)); }
