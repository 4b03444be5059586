package kotlinx.coroutines

import kotlin.coroutines.AbstractCoroutineContextElement
import kotlin.coroutines.ContinuationInterceptor
import kotlin.coroutines.CoroutineContext

interface CoroutineScope {
    val coroutineContext: CoroutineContext
}

interface Job : CoroutineContext.Element {
    companion object Key : CoroutineContext.Key<Job>
}

object NonCancellable : AbstractCoroutineContextElement(Job), Job

abstract class CoroutineDispatcher : AbstractCoroutineContextElement(ContinuationInterceptor)

object Dispatchers {
    val Default: CoroutineDispatcher get() = TODO()
    val IO: CoroutineDispatcher get() = TODO()
}

suspend fun <T> withContext(context: CoroutineContext, block: suspend CoroutineScope.() -> T): T = TODO()
