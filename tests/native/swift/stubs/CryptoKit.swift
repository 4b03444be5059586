// SHA-256 (FIPS 180-4) with CryptoKit's face, so that what hashes files runs where there is no Apple SDK.
import Foundation

public struct SHA256 {
  public typealias Digest = [UInt8]

  private var bytes: [UInt8] = []
  public init() {}
  public mutating func update(data: Data) { bytes += data }
  public func finalize() -> Digest { SHA256.digest(bytes) }
  public static func hash(data: Data) -> Digest { digest([UInt8](data)) }

  private static func digest(_ message: [UInt8]) -> Digest {
    // Roots of the first primes: 32 bits of the fractions of cube roots, and of square roots.
    let primes = (2...311).filter { n in !(2..<n).contains { n % $0 == 0 } }
    let k = primes.map { fraction(cbrt(Double($0))) }
    var h = primes.prefix(8).map { fraction(Double($0).squareRoot()) }
    var bytes = message + [0x80]
    bytes += [UInt8](repeating: 0, count: (120 - bytes.count % 64) % 64)
    let bits = UInt64(message.count) * 8
    bytes += (0..<8).map { UInt8(truncatingIfNeeded: bits >> (56 - 8 * $0)) }
    for block in stride(from: 0, to: bytes.count, by: 64) {
      var w = (0..<16).map { i in (0..<4).reduce(UInt32(0)) { $0 << 8 | UInt32(bytes[block + 4 * i + $1]) } }
      for i in 16..<64 {
        let (a, b) = (w[i - 15], w[i - 2])
        let s0 = turned(a, 7) ^ turned(a, 18) ^ a >> 3
        let s1 = turned(b, 17) ^ turned(b, 19) ^ b >> 10
        w.append(w[i - 16] &+ s0 &+ w[i - 7] &+ s1)
      }
      var s = h
      for i in 0..<64 {
        let s1 = turned(s[4], 6) ^ turned(s[4], 11) ^ turned(s[4], 25)
        let one = s[7] &+ s1 &+ (s[4] & s[5] ^ ~s[4] & s[6]) &+ k[i] &+ w[i]
        let s0 = turned(s[0], 2) ^ turned(s[0], 13) ^ turned(s[0], 22)
        let two = s0 &+ (s[0] & s[1] ^ s[0] & s[2] ^ s[1] & s[2])
        s = [one &+ two, s[0], s[1], s[2], s[3] &+ one, s[4], s[5], s[6]]
      }
      h = zip(h, s).map { $0 &+ $1 }
    }
    return h.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> (24 - 8 * $0)) } }
  }

  private static func fraction(_ x: Double) -> UInt32 { UInt32((x - x.rounded(.down)) * 4_294_967_296) }
  private static func turned(_ x: UInt32, _ n: UInt32) -> UInt32 { x >> n | x << (32 - n) }
}
