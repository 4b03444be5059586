// What edgeskin uses of Apple's CoreGraphics, to type-check against where there is no Apple SDK.
public final class CFString: Sendable {}
public struct CGRect { public init(x: Int, y: Int, width: Int, height: Int) {} }

public final class CGImage {
  public var width: Int { 0 }
  public var height: Int { 0 }
}

public enum CGImageAlphaInfo: UInt32 { case noneSkipLast = 5 }

public final class CGColorSpace {
  public static let sRGB = CFString()
  public init?(name: CFString) {}
}

public final class CGContext {
  public init?(
    data: UnsafeMutableRawPointer?, width: Int, height: Int, bitsPerComponent: Int, bytesPerRow: Int,
    space: CGColorSpace, bitmapInfo: UInt32
  ) {}
  public func draw(_ image: CGImage, in rect: CGRect) {}
}
