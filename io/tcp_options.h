// TcpOptions and ListenOptions: what a program may ask of a TCP connection or a listener.
//
// Thread-safety: values.
// Units:         bytes; a buffer size of 0 leaves the system's own choice, which adapts itself.
#ifndef GYRE_IO_TCP_OPTIONS_H_
#define GYRE_IO_TCP_OPTIONS_H_

#include "gyre/runtime/backend.h"

namespace gyre {

class TcpOptions {
 public:
  TcpOptions() {}

  // On by default: small messages leave at once instead of waiting for the peer's acknowledgement (Nagle).
  TcpOptions& set_no_delay(bool on) {
    no_delay_ = on;
    return *this;
  }
  // Off by default: a peer that vanished without a word is noticed only by sending, or by the program's own timeouts.
  TcpOptions& set_keep_alive(bool on) {
    keep_alive_ = on;
    return *this;
  }
  TcpOptions& set_send_buffer_bytes(int bytes) {
    send_buffer_bytes_ = bytes;
    return *this;
  }
  TcpOptions& set_receive_buffer_bytes(int bytes) {
    receive_buffer_bytes_ = bytes;
    return *this;
  }

  bool no_delay() const { return no_delay_; }
  bool keep_alive() const { return keep_alive_; }
  int send_buffer_bytes() const { return send_buffer_bytes_; }
  int receive_buffer_bytes() const { return receive_buffer_bytes_; }

 private:
  bool no_delay_ = true;
  bool keep_alive_ = false;
  int send_buffer_bytes_ = 0;
  int receive_buffer_bytes_ = 0;
};

// What Accept does when the process has no descriptor or memory left for one more connection.
enum class OverloadPolicy {
  kWait,   // leave clients in the backlog; go on as soon as this loop closes a descriptor, and look again within 80 ms
  kReset,  // reset them, so that they learn of it at once
};

// How connections are dealt out to the members of a ListenerGroup.
enum class AcceptBalance {
  kCorrected,  // by the kernel's hash of the addresses; Serve corrects what is too uneven
  kKernel,     // by that hash alone
  kCpu,  // to the member whose number is that of the CPU which received the connection, modulo members: for loops that
         // are pinned (RuntimeOptions::set_pin_loops), so that a connection stays on its CPU. Until a member closes: the
         // kernel then counts anew. Not together with set_reuse_port
  kExact,  // member 0 accepts, and Serve gives each to the member with the fewest: for few connections that live long;
           // when member 0 closes, nobody accepts any more
};

class ListenOptions {
 public:
  ListenOptions() {}

  // Several listeners of this user may share the address; the kernel deals connections out among them. A ListenerGroup
  // does so among its members by itself: there it says that others may share it, too.
  ListenOptions& set_reuse_port(bool on) {
    reuse_port_ = on;
    return *this;
  }
  // For a ListenerGroup.
  ListenOptions& set_balance(AcceptBalance balance) {
    balance_ = balance;
    return *this;
  }
  // How many connections may wait to be accepted; the kernel cuts it to net.core.somaxconn.
  ListenOptions& set_backlog(int connections) {
    backlog_ = connections;
    return *this;
  }
  // An IPv6 listener takes IPv6 alone; off, "[::]" takes IPv4 too.
  ListenOptions& set_ipv6_only(bool on) {
    ipv6_only_ = on;
    return *this;
  }
  ListenOptions& set_overload_policy(OverloadPolicy policy) {
    overload_policy_ = policy;
    return *this;
  }
  // For the connections that will be accepted.
  ListenOptions& set_stream_options(TcpOptions options) {
    stream_options_ = options;
    return *this;
  }

  bool reuse_port() const { return reuse_port_; }
  AcceptBalance balance() const { return balance_; }
  int backlog() const { return backlog_; }
  bool ipv6_only() const { return ipv6_only_; }
  OverloadPolicy overload_policy() const { return overload_policy_; }
  const TcpOptions& stream_options() const { return stream_options_; }

 private:
  bool reuse_port_ = false;
  AcceptBalance balance_ = AcceptBalance::kCorrected;
  int backlog_ = 4096;
  bool ipv6_only_ = false;
  OverloadPolicy overload_policy_ = OverloadPolicy::kWait;
  TcpOptions stream_options_;
};

namespace internal {

// Sets what `options` asks for. 0 or -errno. On a listener: Linux hands these down to accepted connections.
int ApplyTcpOptions(Descriptor& descriptor, const TcpOptions& options);

}  // namespace internal
}  // namespace gyre

#endif  // GYRE_IO_TCP_OPTIONS_H_
