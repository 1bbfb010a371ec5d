"""The name server of the laboratory: a real one, whose answers may be hostile, and may change each time."""

import ipaddress
import socket
import threading
from collections import Counter
from collections.abc import Mapping

from dnslib import AAAA, CNAME, QTYPE, RCODE, RR, A, DNSRecord

from narralytica_ingest_tests.egress_lab import places
from narralytica_ingest_tests.egress_lab.servers import ZONES

SILENCE = "silence"
_LONGEST = 512


class NameServer:
    """Answers on the resolver's address. `names` maps a name to its answers, one per question for its A record: words
    of addresses, `CNAME name`, or `silence`. The last one stays. Other names of its zones are public."""

    def __init__(self) -> None:
        self.names: Mapping[str, tuple[str, ...]] = {}
        self._asked: Counter[str] = Counter()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((places.RESOLVER, 53))
        threading.Thread(target=self._serve, daemon=True).start()

    def serve(self, names: Mapping[str, tuple[str, ...]]) -> None:
        """Begins anew with these names."""
        self._asked, self.names = Counter(), names

    def _serve(self) -> None:
        while True:
            question, asker = self._socket.recvfrom(_LONGEST)
            answer = self._answer(DNSRecord.parse(question))
            if answer is not None:
                self._socket.sendto(answer.pack(), asker)

    def _answer(self, question: DNSRecord) -> DNSRecord | None:
        answer = question.reply()
        name, kind = str(question.q.qname).rstrip(".").lower(), QTYPE[question.q.qtype]
        words = self._words(name, kind)
        for _ in range(8):
            if words is None or not words.startswith("CNAME "):
                break
            alias = words.split()[1]
            answer.add_answer(RR(name, QTYPE.CNAME, rdata=CNAME(alias), ttl=0))
            name, words = alias, self._words(alias, kind)
        if words == SILENCE:
            return None
        if words is None:
            answer.header.rcode = RCODE.NXDOMAIN
            return answer
        for address in map(ipaddress.ip_address, words.split()):
            if kind == ("A" if address.version == 4 else "AAAA"):
                data = A(str(address)) if kind == "A" else AAAA(str(address))
                answer.add_answer(RR(name, QTYPE.A if kind == "A" else QTYPE.AAAA, rdata=data, ttl=0))
        return answer

    def _words(self, name: str, kind: str) -> str | None:
        answers = self.names.get(name)
        if answers is None:
            return places.PUBLIC if name.endswith(ZONES) else None
        if kind == "A":
            self._asked[name] += 1
        return answers[min(max(self._asked[name], 1), len(answers)) - 1]
