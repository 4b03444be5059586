// What the sample views of bundles use of Apple's SwiftUI, to type-check against where there is no Apple SDK.
@_exported import CoreGraphics
@_exported import Foundation

@MainActor @preconcurrency public protocol View {
  associatedtype Body: View
  @ViewBuilder var body: Body { get }
}
/// A view without views of its own.
public protocol Leaf: View {}
extension Leaf {
  public var body: Never { return fatalError() }
}
extension Never: Leaf {}
extension Optional: View, Leaf where Wrapped: View {}
public struct Some: Leaf {}

@resultBuilder public enum ViewBuilder {
  public static func buildBlock<each V: View>(_ views: repeat each V) -> Some { Some() }
  public static func buildEither<V: View>(first: V) -> Some { Some() }
  public static func buildEither<V: View>(second: V) -> Some { Some() }
  public static func buildIf<V: View>(_ view: V?) -> V? { view }
}

extension View {
  public func padding() -> some View { Some() }
  public func task(_ action: @escaping @MainActor @Sendable () async -> Void) -> some View { Some() }
  public func overlay<V: View>(@ViewBuilder _ content: () -> V) -> some View { Some() }
  public func font(_ font: Font) -> some View { Some() }
  public func foregroundColor(_ color: Color) -> some View { Some() }
  public func scaledToFit() -> some View { Some() }
  public func opacity(_ opacity: Double) -> some View { Some() }
  public func frame(width: CGFloat, height: CGFloat) -> some View { Some() }
  public func offset(x: CGFloat, y: CGFloat) -> some View { Some() }
}
public struct Font: Sendable { public static let footnote = Font() }
public struct Color: Sendable {
  public static let red = Color(), secondary = Color(), yellow = Color()
}
public struct HorizontalAlignment: Sendable { public static let leading = Self() }

public struct ScrollView: Leaf {
  public init<V: View>(@ViewBuilder _ content: () -> V) {}
}
public struct VStack: Leaf {
  public init<V: View>(alignment: HorizontalAlignment, spacing: CGFloat, @ViewBuilder _ content: () -> V) {}
}
public struct HStack: Leaf {
  public init<V: View>(@ViewBuilder _ content: () -> V) {}
}
public struct Text: Leaf {
  public init<S: StringProtocol>(_ text: S) {}
  public func bold() -> Text { self }
}
public struct Spacer: Leaf {
  public init() {}
}
public struct ProgressView: Leaf {
  public init() {}
}
public struct Image: Leaf {
  public enum Orientation: UInt8, Sendable {
    case up, upMirrored, down, downMirrored, left, leftMirrored, right, rightMirrored
  }
  public init(decorative: CGImage, scale: CGFloat, orientation: Orientation = .up) {}
  public func resizable() -> Image { self }
}
public struct ForEach: Leaf {
  public init<D: RandomAccessCollection, V: View>(
    _ data: D, id: KeyPath<D.Element, some Hashable>, @ViewBuilder _ content: (D.Element) -> V
  ) {}
}
public struct GeometryProxy: Sendable { public var size: CGSize { .zero } }
public struct GeometryReader: Leaf {
  public init<V: View>(@ViewBuilder _ content: (GeometryProxy) -> V) {}
}
public struct Rectangle: Leaf {
  public init() {}
  public func stroke(_ color: Color, lineWidth: CGFloat) -> some View { Some() }
}

@propertyWrapper public struct State<Value> {
  public init(wrappedValue: Value) {}
  public var wrappedValue: Value {
    nonmutating set {}
    get { fatalError() }
  }
}
