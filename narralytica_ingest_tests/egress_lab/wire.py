"""What really went over a network link, told by the packets themselves: no server's word is needed for it."""

import ctypes
import ipaddress
import socket
import struct

_EVERY_PROTOCOL = 0x0003  # ETH_P_ALL
_ATTACH_FILTER, _STATISTICS = 26, 6  # SO_ATTACH_FILTER, PACKET_STATISTICS
_SOL_PACKET, _OUTGOING = 263, 4
_LONGEST = 128

# In the kernel (classic BPF: code, jump if true, jump if false, value), so that no flood of media makes it lose one:
# passes the first packet of each TCP connection (SYN without ACK) and every UDP packet, of IPv4 and of IPv6.
_FILTER = (
    (0x30, 0, 0, 0),  # the version
    (0x54, 0, 0, 0xF0),
    (0x15, 0, 7, 0x40),  # IPv4?
    (0x30, 0, 0, 9),
    (0x15, 12, 0, 17),  # UDP: pass
    (0x15, 0, 12, 6),  # no TCP: drop
    (0xB1, 0, 0, 0),
    (0x50, 0, 0, 13),  # the flags
    (0x54, 0, 0, 0x12),
    (0x15, 7, 8, 0x02),
    (0x15, 0, 7, 0x60),  # IPv6?
    (0x30, 0, 0, 6),
    (0x15, 4, 0, 17),
    (0x15, 0, 4, 6),
    (0x30, 0, 0, 53),
    (0x54, 0, 0, 0x12),
    (0x15, 0, 1, 0x02),
    (0x06, 0, 0, 0xFFFF),  # pass
    (0x06, 0, 0, 0),  # drop
)


class Wire:
    """Listens to a link of this network namespace from now on."""

    def __init__(self, link: str) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        program = b"".join(struct.pack("HBBI", *each) for each in _FILTER)
        held = ctypes.create_string_buffer(program, len(program))
        self._socket.setsockopt(
            socket.SOL_SOCKET, _ATTACH_FILTER, struct.pack("HL", len(_FILTER), ctypes.addressof(held))
        )
        self._socket.bind((link, _EVERY_PROTOCOL))
        self._socket.setblocking(False)

    def contacts(self) -> list[tuple[str, int, str]]:
        """Whom somebody turned to since the last call: address, port, and `tcp` or `udp`. Complete when it returns:
        a packet is here before its sender's `connect` or `sendto` is done."""
        found = []
        while True:
            try:
                packet, told = self._socket.recvfrom(_LONGEST)
            except BlockingIOError:
                break
            if told[2] != _OUTGOING:
                found.append(_receiver(packet))
        _, lost = struct.unpack("II", self._socket.getsockopt(_SOL_PACKET, _STATISTICS, 8))
        if lost:
            raise AssertionError(f"{lost} packets were lost unseen")
        return found


def _receiver(packet: bytes) -> tuple[str, int, str]:
    if packet[0] >> 4 == 4:
        address, protocol, start = packet[16:20], packet[9], 4 * (packet[0] & 15)
    else:
        address, protocol, start = packet[24:40], packet[6], 40
    (port,) = struct.unpack_from("!H", packet, start + 2)
    return str(ipaddress.ip_address(address)), port, "udp" if protocol == socket.IPPROTO_UDP else "tcp"
