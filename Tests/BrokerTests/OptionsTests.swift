import Broker
import Testing

@Test func defaultsAreNatsServers() {
    #expect(Options().port == 4222)
    #expect(Options().maxPayloadBytes == 1 << 20)
}
