// What edgeskin uses of Apple's CoreGraphics, to type-check against where there is no Apple SDK.
import Foundation

public typealias CFString = NSString
public typealias CGRect = Foundation.CGRect
public final class CGImage: Sendable {
  public var width: Int { 0 }
  public var height: Int { 0 }
}

public enum CGImageAlphaInfo: UInt32 {
  case premultipliedLast = 1
  case noneSkipLast = 5
}

public final class CGColorSpace {
  nonisolated(unsafe) public static let sRGB: CFString = "kCGColorSpaceSRGB"
  public init?(name: CFString) {}
}

public func CGColorSpaceCreateDeviceRGB() -> CGColorSpace { CGColorSpace(name: CGColorSpace.sRGB)! }

public final class CGContext {
  public init?(
    data: UnsafeMutableRawPointer?, width: Int, height: Int, bitsPerComponent: Int, bytesPerRow: Int,
    space: CGColorSpace, bitmapInfo: UInt32
  ) {}
  public func makeImage() -> CGImage? { nil }
  public func draw(_ image: CGImage, in rect: CGRect) {}
}
