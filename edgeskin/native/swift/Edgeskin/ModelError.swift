// What keeps a model from being loaded or run.

public enum ModelError: Error, Equatable, Sendable {
  case missing(file: String)
  /// The file is not the one that the app was built with.
  case altered(file: String, expected: String, found: String)
  /// It takes or gives something else than this app's code is for.
  case unsuitable(reason: String)
  /// The runtime's own words.
  case runtime(String)
}

extension ModelError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .missing(let file): return "\(file) is missing"
    case .altered(let file, let expected, let found):
      return "\(file) has the SHA-256 \(found), expected \(expected)"
    case .unsuitable(let reason): return reason
    case .runtime(let reason): return reason
    }
  }
}
