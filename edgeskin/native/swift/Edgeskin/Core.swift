// edgeskin's core in Swift: the same C functions, the same bytes as in training.
//
// Every refusal throws `EdgeskinError` with the C library's own message; edgeskin.h says what each
// function promises. Nothing here keeps a pointer after it returns.

import CEdgeskin

/// What the C library refused: the name of its status ("ES_BAD_CROP") and its message.
public struct EdgeskinError: Error, Equatable, CustomStringConvertible {
  public let status: String
  public let message: String

  public var description: String { message }
}

/// Calls a function that returns es_status; throws what it reports.
func check(_ call: (UnsafeMutablePointer<es_error>) -> es_status) throws {
  var error = es_error()
  let status = call(&error)
  guard status != ES_OK else { return }
  let message = withUnsafeBytes(of: error.message) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
  throw EdgeskinError(status: String(cString: es_status_name(Int32(status.rawValue))), message: message)
}

/// A choice of edgeskin.h by name. Any number can be given, so that a value from elsewhere, even
/// one that this version does not know, meets the library's own check.
public protocol Choice: Equatable, Sendable {
  var code: Int32 { get }
  init(code: Int32)
}

extension Choice {
  init<C: RawRepresentable>(_ value: C) where C.RawValue: BinaryInteger {
    self.init(code: Int32(value.rawValue))
  }
}

public struct PixelFormat: Choice {
  public let code: Int32
  public init(code: Int32) { self.code = code }
  public static let rgb = Self(ES_RGB), bgr = Self(ES_BGR), rgba = Self(ES_RGBA), bgra = Self(ES_BGRA)
  public static let grey = Self(ES_GREY), nv12 = Self(ES_NV12), nv21 = Self(ES_NV21), i420 = Self(ES_I420)
}

public struct ColorMatrix: Choice {
  public let code: Int32
  public init(code: Int32) { self.code = code }
  public static let bt601 = Self(ES_BT601), bt709 = Self(ES_BT709)
}

public struct ColorRange: Choice {
  public let code: Int32
  public init(code: Int32) { self.code = code }
  public static let video = Self(ES_VIDEO_RANGE), full = Self(ES_FULL_RANGE)
}

public struct Fit: Choice {
  public let code: Int32
  public init(code: Int32) { self.code = code }
  public static let squash = Self(ES_SQUASH), shortestEdge = Self(ES_SHORTEST_EDGE), letterbox = Self(ES_LETTERBOX)
}

public struct Filter: Choice {
  public let code: Int32
  public init(code: Int32) { self.code = code }
  public static let nearest = Self(ES_NEAREST), box = Self(ES_BOX), bilinear = Self(ES_BILINEAR)
  public static let hamming = Self(ES_HAMMING), bicubic = Self(ES_BICUBIC), lanczos = Self(ES_LANCZOS)
}

public struct ElementType: Choice {
  public let code: Int32
  public init(code: Int32) { self.code = code }
  public static let uint8 = Self(ES_UINT8), int8 = Self(ES_INT8)
  public static let float32 = Self(ES_FLOAT32), float16 = Self(ES_FLOAT16)
}

public struct Layout: Choice {
  public let code: Int32
  public init(code: Int32) { self.code = code }
  public static let nhwc = Self(ES_NHWC), nchw = Self(ES_NCHW)
}

public struct Activation: Choice {
  public let code: Int32
  public init(code: Int32) { self.code = code }
  public static let none = Self(ES_NO_ACTIVATION), softmax = Self(ES_SOFTMAX), sigmoid = Self(ES_SIGMOID)
}

/// A number type of tensors.
public protocol Element {
  static var type: ElementType { get }
}

extension UInt8: Element { public static var type: ElementType { .uint8 } }
extension Int8: Element { public static var type: ElementType { .int8 } }
extension Float: Element { public static var type: ElementType { .float32 } }
#if !(os(macOS) && arch(x86_64))  // the one place without Float16
  extension Float16: Element { public static var type: ElementType { .float16 } }
#endif

/// Scratch memory that only ever grows, to 2 MB at most. One call at a time may use it.
public final class Workspace {
  private(set) var bytes = UnsafeMutableRawBufferPointer(start: nil, count: 0)

  public init() {}
  deinit { bytes.deallocate() }

  func reserve(_ count: Int) -> UnsafeMutableRawBufferPointer {
    if bytes.count < count {
      bytes.deallocate()
      bytes = .allocate(byteCount: count, alignment: 64)
    }
    return bytes
  }

  /// Asks a `_workspace` function for the size, and has it.
  func reserve(
    _ ask: (UnsafeMutablePointer<Int>, UnsafeMutablePointer<es_error>) -> es_status
  ) throws -> UnsafeMutableRawBufferPointer {
    var count = 0
    try check { ask(&count, $0) }
    return reserve(count)
  }
}

/// The code path of the whole process: best, scalar, avx2 or neon. Bytes are the same.
public enum Kernels: Int32 {
  case best, scalar, avx2, neon

  public func use() throws { try check { es_use_kernels(rawValue, $0) } }
  public static var name: String { String(cString: es_kernels_name()) }
}

extension Int32 {
  /// Sizes beyond 32 bits stay beyond every limit of the library.
  init(size: Int) { self.init(clamping: size) }
}
